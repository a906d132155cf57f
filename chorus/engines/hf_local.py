"""transformers in this process, on a CPU or a GPU: several turns in one batch, streamed, each sampled by its own seed.

One thread owns the model. It takes every call that is waiting, up to `max_batch`, and runs them as one batch through
`generate`; calls that arrive meanwhile form the next one. Three things keep a debate cheap and repeatable there:

- the part of the prompts that all rows share is computed once, kept, and extended when the next round's prompts extend
  it (the shared layout of `debate.prompts` is made for this);
- each row draws its own tokens with its own generator, so a row's words don't depend on who else is in the batch,
  up to rounding in the matrix products;
- a row whose call was cancelled ends at the next token.

`generate` with a batch was measured faster here than transformers' continuous batching (see evals/results/hf.md).
"""

from __future__ import annotations

import asyncio
import copy
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus import checkpoints
from chorus.engines.base import Completion, Emit, EngineInfo, Request, TokenLogprob
from chorus.errors import CheckpointError, ContextTooLong, EngineError, MissingExtra
from chorus.types import Message, Usage

if TYPE_CHECKING:
    import torch

GATHER_S = 0.01
"""How long the first call of a batch waits for company. One decoding step on a CPU takes longer."""

MIN_SHARED = 32
"""Prefixes shorter than this many tokens are not worth keeping."""

MAX_KEPT = 4
"""How many computed prefixes are kept."""


async def open_hf(
    rest: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    max_batch: int | None = None,
    report: checkpoints.Report = lambda _: None,
) -> HfEngine:
    """Open a checkpoint by name or folder, fetching it first where need be.

    Args:
        rest: what follows `hf:` in the SPEC.
        device: `cpu`, `cuda`, `cuda:1` …; the first GPU when there is one.
        dtype: `float32`, `bfloat16` …; float32 on a CPU, else what the checkpoint was saved in.
        max_batch: calls that run at once; 16 on a CPU, 64 on a GPU.
        report: is told of long steps.

    Raises:
        MissingExtra: torch or transformers is not installed.
        CheckpointError: the weights can't be fetched or loaded.
    """
    return await asyncio.to_thread(_load, rest, device, dtype, max_batch, report)


@dataclass(eq=False)
class _Row:
    """One call on its way through a batch. The worker writes it; the event loop reads what it is handed."""

    request: Request
    prompt: list[int]
    deliver: Callable[[str], None]
    """Passes a piece of text to the loop."""
    settle: Callable[[Completion | BaseException], None]
    """Ends the call in the loop."""
    generator: torch.Generator | None
    cancelled: threading.Event = field(default_factory=threading.Event)
    tokens: list[int] = field(default_factory=list)
    pieces: list[TokenLogprob] = field(default_factory=list)
    text: str = ""
    shown: int = 0
    """Characters of `text` delivered so far."""
    decoded: int = 0
    """Tokens that `text` stands for; those after it are an unfinished character."""
    finish: str | None = None
    cached: int = 0
    began: float = field(default_factory=time.perf_counter)

    def hold_back(self) -> int:
        """Return how many last characters may be the beginning of a stop string, so are not shown yet."""
        for size in range(max((len(stop) for stop in self.request.sampling.stop), default=1) - 1, 0, -1):
            if any(stop.startswith(self.text[-size:]) for stop in self.request.sampling.stop if len(stop) > size):
                return min(size, len(self.text))
        return 0


class HfEngine:
    """See the module's docstring. Made by `open_hf`."""

    def __init__(self, model: Any, tokenizer: Any, info: EngineInfo, max_batch: int) -> None:
        self.info = info
        self._model = model
        self._tokenizer = tokenizer
        self._max_batch = max_batch
        self._waiting: queue.Queue[_Row | None] = queue.Queue()
        self._prefixes: list[tuple[list[int], Any]] = []
        eos = model.generation_config.eos_token_id
        self._ends = {eos} if isinstance(eos, int) else set(eos or ()) | {tokenizer.eos_token_id}
        self._worker = threading.Thread(target=self._serve, name="hf-engine", daemon=True)
        self._worker.start()

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises ContextTooLong, EngineError."""
        prompt = self._encode(request.messages)
        need = len(prompt) + request.sampling.max_tokens
        if need > self.info.context_window:
            raise ContextTooLong(f"{need} tokens are needed, the context window holds {self.info.context_window}")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Completion] = loop.create_future()

        def deliver(piece: str) -> None:
            loop.call_soon_threadsafe(lambda: None if done.done() else emit(piece))

        def settle(result: Completion | BaseException) -> None:
            loop.call_soon_threadsafe(_resolve, done, result)

        row = _Row(request, prompt, deliver, settle, self._generator(request.sampling.seed))
        self._waiting.put(row)
        try:
            return await done
        finally:
            row.cancelled.set()

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt, exactly."""
        return len(self._encode(messages))

    async def aclose(self) -> None:
        """Stop the worker; calls still running end with an EngineError."""
        self._waiting.put(None)
        await asyncio.to_thread(self._worker.join, 30)

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        if self._tokenizer.chat_template is None:
            text = "".join(f"{message['content']}\n\n" for message in plain)
            return list(self._tokenizer(text)["input_ids"])
        ids = self._tokenizer.apply_chat_template(plain, add_generation_prompt=True, return_dict=True)["input_ids"]
        return list(ids)

    def _generator(self, seed: int | None) -> torch.Generator | None:
        import torch

        return None if seed is None else torch.Generator(self._model.device).manual_seed(seed % 2**63)

    # ---- the worker's thread -------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (first := self._waiting.get()) is not None:
            rows, last = self._gather(first)
            rows = [row for row in rows if not row.cancelled.is_set()]
            if rows:
                try:
                    self._run(rows)
                except Exception as error:  # noqa: BLE001 - whatever the model raised, its callers must hear of it
                    failure = EngineError(f"the model failed: {type(error).__name__}: {error}")
                    for row in rows:
                        row.settle(failure)
            if last:
                break
        while not self._waiting.empty():
            if left := self._waiting.get_nowait():
                left.settle(EngineError("the engine was closed"))

    def _gather(self, first: _Row) -> tuple[list[_Row], bool]:
        """Return the first call with those that come soon enough, and whether the engine is being closed."""
        rows, until = [first], time.monotonic() + GATHER_S
        while len(rows) < self._max_batch:
            try:
                row = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return rows, False
            if row is None:
                return rows, True
            rows.append(row)
        return rows, False

    def _run(self, rows: list[_Row]) -> None:
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        pad = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else min(self._ends)
        longest = max(row.request.sampling.max_tokens for row in rows)
        with torch.inference_mode():
            inputs = self._inputs(rows, pad)
            draw = _Draw(rows)
            self._model.generate(
                **inputs,
                max_new_tokens=longest,
                do_sample=False,
                eos_token_id=sorted(self._ends),
                pad_token_id=pad,
                use_cache=True,
                logits_processor=LogitsProcessorList([draw]),
                stopping_criteria=StoppingCriteriaList([_Watch(rows, draw, self._tokenizer, self._ends)]),
            )
        for row in rows:
            if row.finish is None:
                row.settle(EngineError("the model ended the batch before this turn was finished"))

    def _inputs(self, rows: list[_Row], pad: int) -> dict[str, Any]:
        """Lay the prompts out as one batch: the shared prefix, then padding, then what differs."""
        import torch

        shared = _common_prefix([row.prompt for row in rows])
        if len(shared) < MIN_SHARED:
            shared = []
        rest = max(len(row.prompt) for row in rows) - len(shared)
        ids, mask = [], []
        for row in rows:
            gap = rest - (len(row.prompt) - len(shared))
            ids.append(shared + [pad] * gap + row.prompt[len(shared) :])
            mask.append([1] * len(shared) + [0] * gap + [1] * (rest - gap))
        device = self._model.device
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }
        if shared:
            cache, computed = self._prefix(shared)
            cache.batch_repeat_interleave(len(rows))
            inputs["past_key_values"] = cache
            for index, row in enumerate(rows):
                row.cached = len(shared) - (computed if index == 0 else 0)
        return inputs

    def _prefix(self, shared: list[int]) -> tuple[Any, int]:
        """Return a key-value cache over the shared tokens, made for one row, and how many of them were computed now."""
        import torch
        from transformers import DynamicCache

        kept = max(
            (entry for entry in self._prefixes if shared[: len(entry[0])] == entry[0]),
            key=lambda entry: len(entry[0]),
            default=None,
        )
        cache = copy.deepcopy(kept[1]) if kept else DynamicCache(config=self._model.config)
        known = len(kept[0]) if kept else 0
        if known < len(shared):
            fresh = torch.tensor([shared[known:]], device=self._model.device)
            self._model.model(input_ids=fresh, past_key_values=cache, use_cache=True)
            self._prefixes = [entry for entry in self._prefixes if entry is not kept][-(MAX_KEPT - 1) :]
            self._prefixes.append((shared, copy.deepcopy(cache)))
        return cache, len(shared) - known


class _Draw:
    """Chooses every row's next token by the row's own temperature, nucleus and generator.

    A logits processor in transformers' sense: it leaves each row only the token it chose, so greedy decoding takes it.
    Drawing by the exponential race (argmax of p / Exp(1) noise) is exact sampling.
    """

    def __init__(self, rows: list[_Row]) -> None:
        self._rows = rows
        self.logprobs: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        plain = torch.log_softmax(scores.float(), dim=-1)  # (B, V), at temperature 1
        chosen = plain.argmax(dim=-1)  # (B,)
        for index, row in enumerate(self._rows):
            if row.finish is None and row.request.sampling.temperature > 0:
                chosen[index] = self._sample(plain[index], row)
        self.logprobs = plain.gather(1, chosen[:, None])[:, 0].tolist()
        only = torch.full_like(scores, -torch.inf)
        return only.scatter_(1, chosen[:, None], 0.0)

    def _sample(self, logprobs: torch.Tensor, row: _Row) -> torch.Tensor:
        import torch

        probs = torch.softmax(logprobs / row.request.sampling.temperature, dim=-1)  # (V,)
        if (top_p := row.request.sampling.top_p) < 1:
            ordered, order = probs.sort(descending=True)
            outside = ordered.cumsum(0) - ordered >= top_p
            probs[order[outside]] = 0.0
        return (probs / torch.empty_like(probs).exponential_(generator=row.generator)).argmax()


class _Watch:
    """Hands each row's new text on, and says which rows are done. A stopping criterion in transformers' sense."""

    def __init__(self, rows: list[_Row], draw: _Draw, tokenizer: Any, ends: set[int]) -> None:
        self._rows = rows
        self._draw = draw
        self._tokenizer = tokenizer
        self._ends = ends

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        import torch

        for row, token, logprob in zip(self._rows, input_ids[:, -1].tolist(), self._draw.logprobs, strict=True):
            if row.finish is None:
                self._advance(row, token, logprob)
        return torch.tensor([row.finish is not None for row in self._rows], device=input_ids.device)

    def _advance(self, row: _Row, token: int, logprob: float) -> None:
        row.tokens.append(token)
        if row.cancelled.is_set():
            row.finish = "cancelled"
        elif token in self._ends:
            row.finish = "stop"
            row.tokens.pop()
        else:
            self._append(row, logprob)
            if row.finish is None and len(row.tokens) >= row.request.sampling.max_tokens:
                row.finish = "length"
        if row.finish is None:
            self._show(row, len(row.text) - row.hold_back())
        else:
            self._show(row, len(row.text))
            row.settle(_completion(row))

    def _append(self, row: _Row, logprob: float) -> None:
        """Decode the new token. A character that takes several tokens appears with the last of them."""
        # Decoding with one token of context before keeps the spaces that some tokenizers put at a text's start.
        start = max(0, row.decoded - 1)
        before = self._tokenizer.decode(row.tokens[start : row.decoded], skip_special_tokens=True)
        after = self._tokenizer.decode(row.tokens[start:], skip_special_tokens=True)
        piece = "" if after.endswith("\ufffd") and len(row.tokens) - row.decoded < 8 else after[len(before) :]
        if piece or not after.endswith("\ufffd"):
            row.decoded = len(row.tokens)
        row.text += piece
        row.pieces.append(TokenLogprob(piece, logprob))
        cut = min((at for stop in row.request.sampling.stop if (at := row.text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            row.text = row.text[:cut]
            row.finish = "stop"

    @staticmethod
    def _show(row: _Row, end: int) -> None:
        if end > row.shown:
            row.deliver(row.text[row.shown : end])
            row.shown = end


def _completion(row: _Row) -> Completion:
    usage = Usage(
        calls=1,
        prompt_tokens=len(row.prompt),
        cached_tokens=row.cached,
        completion_tokens=len(row.tokens),
        wall_s=time.perf_counter() - row.began,
    )
    return Completion(row.text, row.finish or "stop", usage, tuple(row.pieces))


def _resolve(done: asyncio.Future[Completion], result: Completion | BaseException) -> None:
    if done.done():
        return
    if isinstance(result, BaseException):
        done.set_exception(result)
    else:
        done.set_result(result)


def _common_prefix(prompts: list[list[int]]) -> list[int]:
    """Return the tokens that all prompts begin with, leaving each at least one token of its own."""
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    size = 0
    while size < limit and first[size] == last[size]:
        size += 1
    return first[:size]


def _greedy(config: Any) -> Any:
    """Clear the checkpoint's sampling defaults: tokens are drawn by `_Draw`, and nothing may come before it."""
    config.update(do_sample=False, temperature=None, top_p=None, top_k=None, repetition_penalty=None, min_p=None)
    return config


def _load(
    name: str, device: str | None, dtype: str | None, max_batch: int | None, report: checkpoints.Report
) -> HfEngine:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra("the hf engine", "local") from None
    folder = checkpoints.resolve(name, report)
    checkpoints.check(folder)
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    wanted = dtype or ("float32" if where == "cpu" else "auto")
    report(f"loading {name}")
    try:
        with checkpoints.quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, clean_up_tokenization_spaces=False)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=wanted)
            model.to(where).eval()
            model.generation_config = _greedy(model.generation_config)
    except Exception as error:
        raise CheckpointError(f"can't load the checkpoint in {folder}: {type(error).__name__}: {error}") from error
    batch = max_batch or (16 if where == "cpu" else 64)
    info = EngineInfo(
        spec=f"hf:{name}",
        context_window=int(getattr(model.config, "max_position_embeddings", 4096)),
        parameters=int(model.num_parameters()),
        checkpoint_sha256=checkpoints.fingerprint(Path(folder)),
        max_concurrency=batch,
    )
    return HfEngine(model, tokenizer, info, batch)
