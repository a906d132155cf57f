"""A model answers prompts in batches, without disturbing the draws of the training around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from chorus.engines.templating import ChatTemplate
from chorus.types import Message

BATCH = 32
"""Rows to a batch."""


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str
    tokens: int
    """Its length, the end mark counted."""
    ended: bool
    """Whether it ended by itself, and was not cut."""


def replies(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Reply]:
    """Return one reply to each prompt, greedy at temperature 0."""
    template = ChatTemplate(tokenizer)
    encoded = [template.encode(prompt) for prompt in prompts]
    training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    found: list[Reply] = []
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            for start in range(0, len(encoded), BATCH):
                found += _batch(model, tokenizer, encoded[start : start + BATCH], max_tokens, temperature)
    finally:
        model.train(training)
    return found


def _batch(model: Any, tokenizer: Any, rows: list[list[int]], max_tokens: int, temperature: float) -> list[Reply]:
    longest = max(map(len, rows))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=model.device)  # (B, T)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=model.device)
    drawn = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    plain = {} if temperature else {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    made = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=max_tokens,
        pad_token_id=pad,
        use_cache=True,
        **drawn,
        **plain,
    )
    ends = _ends(model, tokenizer)
    return [_reply(row[longest:].tolist(), ends, tokenizer) for row in made]


def _ends(model: Any, tokenizer: Any) -> set[int]:
    eos = model.generation_config.eos_token_id
    return ({eos} if isinstance(eos, int) else set(eos or ())) | {tokenizer.eos_token_id}


def _reply(ids: list[int], ends: set[int], tokenizer: Any) -> Reply:
    stop = next((at for at, token in enumerate(ids) if token in ends), None)
    said = ids if stop is None else ids[:stop]
    tokens = len(ids) if stop is None else stop + 1
    return Reply(tokenizer.decode(said, skip_special_tokens=True), tokens, stop is not None)
