"""Prompts and completions as TRL takes them: chat messages, or plain text for a tokenizer without a chat template.

Such text is laid out as the engines lay it out (`engines.templating`), so that a model is trained on what it will read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chorus.types import Message


def prompt(messages: Sequence[Message], tokenizer: Any) -> Any:
    """Return a prompt for a trainer's column `prompt`."""
    if tokenizer.chat_template is None:
        return "".join(f"{message.content}\n\n" for message in messages)
    return [{"role": message.role, "content": message.content} for message in messages]


def completion(text: str, tokenizer: Any) -> Any:
    """Return what is to be said, for a trainer's column `completion`."""
    return text if tokenizer.chat_template is None else [{"role": "assistant", "content": text}]


def said(completion: Any) -> str:
    """Return the words of a completion as a trainer hands it to rewards."""
    return completion if isinstance(completion, str) else str(completion[0]["content"])
