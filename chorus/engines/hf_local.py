"""transformers in this process, on a CPU or a GPU: several turns in one batch, streamed, each sampled by its own seed.

One thread owns the model. It takes every call that is waiting, up to `max_batch`, and runs them as one batch through
`generate`; calls that arrive meanwhile form the next one. Three things keep a debate cheap and repeatable there:

- the part of the prompts that all rows share is computed once, kept, and extended when the next round's prompts extend
  it (the shared layout of `debate.prompts` is made for this);
- each row draws its own tokens with its own generator, so a row's words don't depend on who else is in the batch,
  up to rounding in the matrix products;
- a row whose call was cancelled ends at the next token.

Decoding is not guided here: a request's JSON schema is for the prompt to ask for. Tools are told to the model, and its
calls read out of its words.

`generate` with a batch was measured faster here than transformers' continuous batching (see evals/results/hf.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chorus import checkpoints
from chorus.checkpoints import baked
from chorus.engines.base import Completion, Emit, EngineInfo, Request
from chorus.engines.hf_rows_local import Draw, Row, Watch
from chorus.engines.templating import ChatTemplate
from chorus.engines.tool_calls import Ear
from chorus.errors import CheckpointError, ContextTooLong, EngineError, MissingExtra
from chorus.types import Message

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

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
    return await _aside(lambda: _load(rest, device, dtype, max_batch, report))


class HfEngine:
    """See the module's docstring. Made by `open_hf`."""

    def __init__(self, model: Any, tokenizer: Any, info: EngineInfo, max_batch: int) -> None:
        self.info = info
        self._model = model
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._max_batch = max_batch
        self._waiting: queue.Queue[Row | None] = queue.Queue()
        self._prefixes: list[tuple[list[int], Any]] = []
        self._running: list[Row] = []
        self._closed = False
        eos = model.generation_config.eos_token_id
        self._ends = ({eos} if isinstance(eos, int) else set(eos or ())) | {tokenizer.eos_token_id} - {None}
        self._worker = threading.Thread(target=self._serve, name="hf-engine", daemon=True)
        self._worker.start()

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises ContextTooLong, EngineError."""
        if self._closed:
            raise EngineError("the engine is closed")
        ear = Ear(request, emit)
        prompt = self._template.encode(request.messages, request)
        need = len(prompt) + request.sampling.max_tokens
        if need > self.info.context_window:
            raise ContextTooLong(f"{need} tokens are needed, the context window holds {self.info.context_window}")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Completion] = loop.create_future()

        def deliver(piece: str) -> None:
            _tell(loop, lambda: None if done.done() else ear.take(piece))

        def settle(result: Completion | BaseException) -> None:
            _tell(loop, lambda: _resolve(done, result))

        row = Row(request, prompt, deliver, settle, self._generator(request.sampling.seed))
        self._waiting.put(row)
        try:
            return ear.finish(await done)
        finally:
            row.cancelled.set()

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt, exactly."""
        return len(self._template.encode(messages))

    async def aclose(self) -> None:
        """Stop the worker; calls still running end at the next token, with an EngineError."""
        self._closed = True
        for row in self._running:
            row.cancelled.set()
        self._waiting.put(None)
        await asyncio.to_thread(self._worker.join, 30)

    def _generator(self, seed: int | None) -> torch.Generator | None:
        import torch

        return None if seed is None else torch.Generator(self._model.device).manual_seed(seed % 2**63)

    # ---- the worker's thread -------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (first := self._waiting.get()) is not None:
            rows, last = self._gather(first)
            rows = self._running = [row for row in rows if not row.cancelled.is_set()]
            if self._closed:
                _refuse(rows)
            elif rows:
                try:
                    self._run(rows)
                except Exception as error:  # noqa: BLE001 - whatever the model raised, its callers must hear of it
                    failure = EngineError(f"the model failed: {type(error).__name__}: {error}")
                    for row in rows:
                        row.settle(failure)
            if last:
                break
        while not self._waiting.empty():
            _refuse([left] if (left := self._waiting.get_nowait()) else [])

    def _gather(self, first: Row) -> tuple[list[Row], bool]:
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

    def _run(self, rows: list[Row]) -> None:
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        pad = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else min(self._ends)
        longest = max(row.request.sampling.max_tokens for row in rows)
        with torch.inference_mode():
            inputs = self._inputs(rows, pad)
            draw = Draw(rows)
            self._model.generate(
                **inputs,
                max_new_tokens=longest,
                do_sample=False,
                eos_token_id=sorted(self._ends),
                pad_token_id=pad,
                use_cache=True,
                logits_processor=LogitsProcessorList([draw]),
                stopping_criteria=StoppingCriteriaList([Watch(rows, draw, self._tokenizer, self._ends)]),
            )
        for row in rows:
            if row.finish is None:
                row.settle(EngineError("the model ended the batch before this turn was finished"))

    def _inputs(self, rows: list[Row], pad: int) -> dict[str, Any]:
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
            self._model.base_model(input_ids=fresh, past_key_values=cache, use_cache=True)
            self._prefixes = [entry for entry in self._prefixes if entry is not kept][-(MAX_KEPT - 1) :]
            self._prefixes.append((shared, copy.deepcopy(cache)))
        return cache, len(shared) - known


async def _aside(work: Callable[[], T]) -> T:
    """Do slow work in a thread. Unlike `asyncio.to_thread`, nothing waits for it once the caller is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            _tell(loop, functools.partial(_resolve, done, error))
        else:
            _tell(loop, lambda: _resolve(done, result))

    threading.Thread(target=run, name="hf-load", daemon=True).start()
    return await done


def _tell(loop: asyncio.AbstractEventLoop, news: Callable[[], None]) -> None:
    """Have the loop's thread do something; a loop that is closed has nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(news)


def _resolve(done: asyncio.Future[T], result: T | BaseException) -> None:
    if done.done():
        return
    if isinstance(result, BaseException):
        done.set_exception(result)
    else:
        done.set_result(result)


def _refuse(rows: list[Row]) -> None:
    for row in rows:
        row.settle(EngineError("the engine was closed"))


def _common_prefix(prompts: list[list[int]]) -> list[int]:
    """Return the tokens that all prompts begin with, leaving each at least one token of its own."""
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    size = 0
    while size < limit and first[size] == last[size]:
        size += 1
    return first[:size]


def _greedy(config: Any) -> Any:
    """Clear the checkpoint's sampling defaults: tokens are drawn by `Draw`, and nothing may come before it."""
    config.update(do_sample=False, temperature=None, top_p=None, top_k=None, repetition_penalty=None, min_p=None)
    return config


def _load(
    name: str, device: str | None, dtype: str | None, max_batch: int | None, report: checkpoints.Report
) -> HfEngine:
    # Threads that spin while they wait for each other bring a machine to a crawl where another process wants a core too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
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
        baked=baked.read(Path(folder)),
    )
    return HfEngine(model, tokenizer, info, batch)
