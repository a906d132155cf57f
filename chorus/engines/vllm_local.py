"""vLLM in this process: continuous batching, prefixes computed once, calls aborted the moment nobody waits for them.

- A call is one request of vLLM's own scheduler, streamed token by token. When its task is cancelled the request is
  aborted there, and what it held is free.
- vLLM computes in processes of its own (`vllm_processes`); closing the engine ends them.
- An engine belongs to the event loop that opened it.

vLLM takes ten seconds to import, so that waits until an engine is opened.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import weakref
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from chorus import checkpoints
from chorus.checkpoints import baked
from chorus.engines.base import Completion, Emit, EngineInfo, Request
from chorus.engines.calls import Calls
from chorus.engines.templating import ChatTemplate
from chorus.engines.tool_calls import Ear
from chorus.engines.tool_prompts import guide
from chorus.engines.vllm_core_local import Core, Load, start
from chorus.engines.vllm_processes import Processes
from chorus.engines.vllm_reading import Reading
from chorus.engines.vllm_setup_local import Adapter, choose_adapter, takes_seeds
from chorus.engines.weights import count_parameters
from chorus.errors import CheckpointError, ChorusError, ContextTooLong, EngineDied, EngineError, SchemaRefused
from chorus.types import Message, Usage

RETRYABLE = {"EngineGenerateError", "GracefulHTTPError", "RetryableRequestError"}
"""vLLM's exceptions for faults that may pass, by name: not every version has them all."""


_BLAMES_SCHEMA = re.compile(r"schema|grammar|structured.outputs?|json|regex", re.IGNORECASE)


async def open_vllm(
    rest: str,
    *,
    lora: Mapping[str, str | Path] | None = None,
    adapter: str | None = None,
    report: checkpoints.Report = lambda _: None,
    **engine_arguments: Any,
) -> VllmEngine:
    """Open a checkpoint by name or folder in vLLM, fetching it first where need be.

    Args:
        rest: what follows `vllm:` in the SPEC.
        lora: LoRA adapters, name to folder.
        adapter: the one of them that speaks; `None` is the bare model.
        report: is told of long steps.
        **engine_arguments: vLLM's own (`dtype`, `max_model_len`, `tensor_parallel_size`, `gpu_memory_utilization` …).

    Raises:
        ImportError: vLLM is not installed.
        ConfigError: vLLM has no such argument or refuses its value; there is no such adapter.
        CheckpointError: the weights can't be fetched or loaded.
        EngineError: vLLM did not start, for instance for want of memory.
    """
    speaker = choose_adapter(lora, adapter)
    processes = Processes()
    try:
        core = await processes.keep(lambda: start(rest, engine_arguments, speaker, processes, report))
    except ChorusError:
        await asyncio.to_thread(processes.end, keep_log=True)
        raise
    except BaseException:
        processes.end()
        raise
    engine = VllmEngine(core, _info(rest, core, speaker), speaker)
    try:
        await engine.check()
        if not takes_seeds(core.config):
            report("vLLM cuts long prompts here, which seeds don't survive on a CPU: it draws without them")
    except BaseException:
        await engine.aclose()
        raise
    return engine


class VllmEngine:
    """See the module's docstring. Made by `open_vllm`."""

    def __init__(self, core: Core, info: EngineInfo, adapter: Adapter | None) -> None:
        self.info = info
        self.calls = Calls()
        """What runs and what was aborted, as seen from here."""
        self._core = core
        self._adapter = adapter
        self._lora: Any = None
        self._tokenizer: Any = core.llm.get_tokenizer()
        self._template = ChatTemplate(self._tokenizer)
        self._takes_seeds = takes_seeds(core.config)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        # Also ends the processes of an engine that nobody closed, before the interpreter is taken apart.
        self._closer = weakref.finalize(self, core.close)

    @property
    def load(self) -> Load:
        """What vLLM's scheduler is doing, by its own account."""
        return self._core.load

    async def check(self) -> None:
        """Raise CheckpointError unless the model writes text and the adapter can be loaded."""
        tasks = await self._core.llm.get_supported_tasks()
        if "generate" not in tasks:
            raise CheckpointError(f"{self._core.folder} is no model that writes: vLLM can use it to {', '.join(tasks)}")
        with checkpoints.quiet_transformers():
            self._decode([0])  # what transformers warns of on decoding, it warns of once
        if self._adapter is None:
            return
        from vllm.lora.request import LoRARequest

        self._lora = LoRARequest(self._adapter.name, 1, str(self._adapter.path))
        try:
            await self._core.llm.add_lora(self._lora)
        except Exception as error:
            # Whatever the worker raised arrives here as text.
            reason = " ".join(str(error).split())[:500]
            raise CheckpointError(f"vLLM can't load the LoRA adapter in {self._adapter.path}: {reason}") from error

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises ContextTooLong, EngineDied, EngineError."""
        if asyncio.get_running_loop() is not self._loop:
            raise EngineError("the vllm engine was opened in another event loop: open one in this loop")
        with self.calls:
            started, reading, ear = self._loop.time(), Reading(), Ear(request, emit)
            prompt = self.prompt(request)
            self._check_room(len(prompt), request.sampling.max_tokens)
            async with aclosing(self._outputs(prompt, request)) as outputs:
                async for output in outputs:
                    if piece := reading.take(output):
                        ear.take(piece)
            if reading.finish in (None, "abort", "error"):
                raise EngineError(f"vLLM gave the call up ({reading.finish})", retryable=True)
            completion = Completion(
                text=reading.text,
                finish=reading.finish or "",
                usage=Usage(
                    calls=1,
                    prompt_tokens=len(prompt),
                    cached_tokens=min(reading.cached, len(prompt)),
                    completion_tokens=len(reading.tokens),
                    wall_s=self._loop.time() - started,
                ),
                logprobs=reading.logprobs(prompt, self._decode),
                openings=reading.openings[: request.openings],
            )
            return ear.finish(completion)

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt, exactly."""
        return len(self._template.encode(messages))

    def prompt(self, request: Request) -> list[int]:
        """Return the tokens that vLLM is given to go on from."""
        return self._template.encode(request.messages, request)

    def params(self, request: Request) -> Any:
        """Return the `vllm.SamplingParams` of a request."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        sampling, schema = request.sampling, guide(request)
        seeded = self._takes_seeds and sampling.seed is not None and sampling.temperature > 0
        return SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed % 2**63 if seeded and sampling.seed is not None else None,
            stop=[stop for stop in sampling.stop if stop],
            logprobs=request.openings,  # 0: of the chosen token alone
            structured_outputs=StructuredOutputsParams(json=schema) if schema is not None else None,
            output_kind=RequestOutputKind.DELTA,
        )

    async def aclose(self) -> None:
        """Abort the calls in flight and end vLLM's processes."""
        await self.calls.close()
        await asyncio.shield(asyncio.to_thread(self._closer))
        self._core.let_go()

    async def _outputs(self, prompt: list[int], request: Request) -> AsyncGenerator[Any, None]:
        """Give the request's outputs, with every fault on the way told as EngineError.

        vLLM aborts the request when this is cancelled or closed before its end.
        """
        name = f"{request.debate}/{request.id}/{next(self._numbers)}"
        try:
            generate = self._core.llm.generate
            params = self.params(request)
            inputs: Any = {"prompt_token_ids": prompt} | ({"cache_salt": request.salt} if request.salt else {})
            async with aclosing(generate(inputs, params, name, lora_request=self._lora)) as outputs:
                async for output in outputs:
                    yield output
        except EngineError:
            raise
        except Exception as error:
            if (schema := guide(request)) is not None and _BLAMES_SCHEMA.search(str(error)):
                raise SchemaRefused(f"vLLM can't decode by the JSON schema {schema:.200}: {error}") from error
            raise self._translate(error) from error

    def _check_room(self, prompt: int, completion: int) -> None:
        if prompt + completion > self.info.context_window:
            raise ContextTooLong(
                f"the prompt has {prompt} tokens and up to {completion} were asked for: "
                f"the context window holds {self.info.context_window}"
            )

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _translate(self, error: Exception) -> EngineError:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "EngineDeadError" in kinds:
            return EngineDied(f"vLLM's engine died: {self._core.obituary()}. Open it again")
        cause = error.__cause__ or error
        return EngineError(f"vLLM failed the call: {type(cause).__name__}: {cause}", retryable=bool(kinds & RETRYABLE))


def _info(rest: str, core: Core, adapter: Adapter | None) -> EngineInfo:
    sha256 = checkpoints.fingerprint(core.folder)
    if adapter:
        sha256 = hashlib.sha256(f"{sha256}{checkpoints.fingerprint(adapter.path)}".encode()).hexdigest()
    return EngineInfo(
        spec=f"vllm:{rest}",
        context_window=int(core.config.model_config.max_model_len),
        parameters=count_parameters(core.folder),
        checkpoint_sha256=sha256,
        max_concurrency=int(core.config.scheduler_config.max_num_seqs),
        guided=True,
        baked=baked.read(adapter.path if adapter else core.folder),
    )
