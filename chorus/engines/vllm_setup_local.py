"""From a checkpoint and the caller's options to vLLM's own configuration.

Every engine argument of vLLM is an option, and vLLM judges its value. Defaults differ from vLLM's in what a chorus needs:
prefixes are shared, guided decoding keeps to one library, and on a CPU the engine starts without compiling, computes in
float32 as the hf engine does (few CPUs are quick at bfloat16), shares prefixes in small blocks, and takes every prompt
in one piece (a seeded request whose prompt is cut kills it there).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.errors import CheckpointError, ConfigError, EngineError

if TYPE_CHECKING:
    from vllm.config import VllmConfig

KV_CACHE_BYTES = 4 << 30
"""Memory for the KV cache on a CPU, or half of what is free: vLLM itself would take most of the machine."""

CPU_BATCH = 32
"""Sequences at once on a CPU; throughput grows little beyond."""

CPU_BLOCK = 32
"""Tokens a block on a CPU: prefixes are shared in whole blocks, and vLLM's 128 there would share little."""

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The bounds on an adapter's rank that vLLM knows."""

_NO_ROOM_FOR_CACHE = re.compile(r"No available memory for the cache|KV cache is needed|available KV cache memory")
_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|[Aa]vailable memory|MemoryError|Free memory on device|': -9\b"
)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter on this machine."""

    name: str
    path: Path
    rank: int


def choose_adapter(lora: Mapping[str, str | Path] | None, chosen: str | None) -> Adapter | None:
    """Return the adapter that the engine speaks with. Raises ConfigError when it is unknown or no adapter."""
    if lora is not None and not isinstance(lora, Mapping):
        raise ConfigError(f'the engine option lora is a table of names and folders, {{name = "folder"}}, not {lora!r}')
    if chosen is None:
        return None
    known = dict(lora or {})
    if chosen not in known:
        names = f"lora names {', '.join(known)}" if known else 'name its folder in the option lora, {name = "folder"}'
        raise ConfigError(f"there is no LoRA adapter {chosen!r}: {_did_you_mean(chosen, known)}{names}")
    folder = Path(known[chosen]).expanduser().resolve()
    try:
        rank = json.loads((folder / "adapter_config.json").read_bytes())["r"]
    except OSError as error:
        raise ConfigError(f"the LoRA adapter {chosen!r}: {folder} holds no adapter_config.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"the LoRA adapter {chosen!r}: its adapter_config.json gives no rank r") from error
    if not isinstance(rank, int) or not 0 < rank <= RANKS[-1]:
        raise ConfigError(f"the LoRA adapter {chosen!r} has the rank {rank!r}: vLLM takes 1 to {RANKS[-1]}")
    return Adapter(chosen, folder, rank)


def configure(folder: Path, options: Mapping[str, Any], adapter: Adapter | None) -> VllmConfig:
    """Return vLLM's configuration of an engine for the checkpoint in a folder.

    Raises:
        ConfigError: vLLM has no such option, or refuses its value.
        CheckpointError: vLLM can't use the checkpoint.
    """
    from vllm import AsyncEngineArgs

    _check_names(options, [entry.name for entry in dataclasses.fields(AsyncEngineArgs)])
    try:
        return AsyncEngineArgs(**engine_arguments(folder, options, adapter)).create_engine_config()
    except Exception as error:
        # Whatever vLLM or transformers raised: their errors have no common class.
        raise _refusal(folder, options, error) from error


def engine_arguments(folder: Path, options: Mapping[str, Any], adapter: Adapter | None) -> dict[str, Any]:
    """Return vLLM's engine arguments: the caller's, and where there are none what a chorus needs."""
    return {"model": str(folder)} | _defaults(options) | _lora(adapter) | dict(options)


def takes_seeds(config: VllmConfig) -> bool:
    """Tell whether a call may have a seed: on a CPU, one whose prompt is cut in chunks would end the engine."""
    return not (config.device_config.device_type == "cpu" and config.scheduler_config.enable_chunked_prefill)


def environment(config: VllmConfig) -> dict[str, str]:
    """Return the variables that vLLM's processes need beyond the caller's.

    Without compilation nothing should wait for a compiler, or need one, but vLLM compiles its sampler all the same.
    """
    eager = config.device_config.device_type == "cpu" and config.model_config.enforce_eager
    return {"TORCH_COMPILE_DISABLE": "1"} if eager else {}


def start_failure(folder: Path, reason: str, log: Path | None) -> EngineError | CheckpointError:
    """Return the error for an engine that did not start: what happened, and what to do about it."""
    where = f" (vLLM's log: {log})" if log else ""
    if _NO_ROOM_FOR_CACHE.search(reason):
        remedy = "Raise the engine option gpu_memory_utilization or kv_cache_memory_bytes, or lower max_model_len"
        return EngineError(f"vLLM has too little memory for its KV cache: {reason}{where}. {remedy}")
    if _OUT_OF_MEMORY.search(reason):
        remedy = "Lower the engine option max_model_len, max_num_seqs, gpu_memory_utilization or kv_cache_memory_bytes"
        return EngineError(f"vLLM ran out of memory: {reason}{where}. {remedy}, or take a smaller model")
    return CheckpointError(f"vLLM can't load the checkpoint in {folder}: {reason}{_remedy(reason)}{where}")


def _check_names(options: Mapping[str, Any], known: list[str]) -> None:
    for name in options:
        if name == "model":
            raise ConfigError("the model is named in the SPEC, vllm:NAME, not by the engine option model")
        if name not in known:
            hint = _did_you_mean(name, ["lora", "adapter", *known])
            raise ConfigError(
                f"the engine 'vllm' has no option {name!r}: {hint}it takes lora, adapter and vLLM's engine arguments"
            )


def _defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    import psutil
    from vllm.platforms import current_platform

    # vLLM decodes by one library an engine, whichever the first schema asked for: named here, so that a schema beyond it
    # is refused and not half kept. White space between JSON's parts is fixed: small models would write it without end.
    guiding = {"backend": "xgrammar", "disable_any_whitespace": True}
    chosen: dict[str, Any] = {"enable_prefix_caching": True, "structured_outputs_config": guiding}
    if not current_platform.is_cpu():
        return chosen
    chosen |= {"dtype": "float32", "enforce_eager": True, "max_num_seqs": CPU_BATCH, "block_size": CPU_BLOCK}
    if "max_num_batched_tokens" not in given:
        chosen["enable_chunked_prefill"] = False
    memory = {"gpu_memory_utilization", "num_gpu_blocks_override"}
    if not memory & set(given) and not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        chosen["kv_cache_memory_bytes"] = min(KV_CACHE_BYTES, psutil.virtual_memory().available // 2)
    return chosen


def _lora(adapter: Adapter | None) -> dict[str, Any]:
    if adapter is None:
        return {}
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": min(rank for rank in RANKS if rank >= adapter.rank)}


def _refusal(folder: Path, options: Mapping[str, Any], error: Exception) -> ConfigError | CheckpointError:
    """Blame the options that vLLM's complaint speaks of, else the checkpoint."""
    reason = _in_a_line(error)
    blamed = [name for name in options if name in reason or name.replace("_", " ") in reason.lower()]
    blamed = blamed or [name for name, value in options.items() if isinstance(value, str) and value in reason]
    if blamed:
        return ConfigError(f"vLLM refuses the engine option {', '.join(blamed)}: {reason}")
    return CheckpointError(f"vLLM can't use the checkpoint in {folder}: {reason}{_remedy(reason)}")


def _in_a_line(error: Exception) -> str:
    """Return what was wrong in one line; pydantic's report of it, which vLLM mostly raises, takes several."""
    faults = getattr(error, "errors", None)
    if callable(faults):
        told = [(".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in faults()]
        text = "; ".join(f"{where}: {what}" if where else what for where, what in told)
    else:
        text = f"{type(error).__name__}: {error}"
    text = " ".join(text.split())
    return text if len(text) <= 500 else text[:500] + "…"


def _remedy(reason: str) -> str:
    if "torchvision" in reason or "torchaudio" in reason or "torchcodec" in reason:
        return ". Next to the CPU wheel, uninstall torchvision, torchaudio and torchcodec: they are built for CUDA"
    return ""


def _did_you_mean(name: str, known: Mapping[str, Any] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}? " if close else ""
