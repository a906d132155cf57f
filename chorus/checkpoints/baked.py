"""How a checkpoint that a chorus was baked into wants to be asked: the prompt of each style, and whose voices it has.

`chorus distill export` writes this into the folder's run card. Engines read it as they open the folder, so that whoever
asks the model can ask as it was trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from chorus.errors import CheckpointError
from chorus.types import Frozen
from personas.persona import Persona

RUN_CARD = "run.json"
"""The run card's file name."""

Style = Literal["answer", "chorus"]
"""`answer` is one voice, short. `chorus` is an inner dialogue, voices with names as plain text, then the answer."""


class Baked(Frozen):
    """What a run card says of how to ask."""

    prompts: dict[Style, str]
    """The system message of each style."""
    cast: tuple[Persona, ...]
    """Who speaks in its dialogues."""
    rounds: int
    """How often each of them speaks at most."""
    detail: Literal["brief", "full"]
    """How much of a method was read by the teacher that the dialogues come from."""


def read(folder: Path) -> Baked | None:
    """Return how the checkpoint in a folder wants to be asked; `None` where none was baked.

    Raises:
        CheckpointError: there is a run card, and it can't be read.
    """
    path = folder / RUN_CARD
    try:
        card = json.loads(path.read_text("utf-8"))
        if not isinstance(card, dict) or "prompts" not in card:
            return None
        return Baked.model_validate({name: card[name] for name in Baked.model_fields})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise CheckpointError(f"can't read from {path} how the checkpoint wants to be asked: {error}") from error
