"""One debate of many: its record, or the fault of ours that ended it and no other."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chorus.debate.scheduler import Debate
from chorus.errors import ChorusError
from chorus.types import Answer, Question, well_formed
from personas import PersonaError

log = logging.getLogger("chorus.outcome")


@dataclass(frozen=True)
class Fault:
    """A fault of ours that ended one debate of many."""

    what: str
    """The error's type, and what it says."""
    record: Answer | None
    """None where it came before there was a debate."""


async def outcome(convene: Callable[[Question], Awaitable[Debate]], question: Question) -> Answer | Fault:
    """Hold a debate and return its record. A fault of ours is logged and returned: it may be this question's alone.

    Raises:
        ChorusError, PersonaError: what would stop every debate.
    """
    debate: Debate | None = None
    try:
        debate = await convene(question)
        return await debate.hold()
    except (ChorusError, PersonaError):
        raise
    except Exception as error:
        log.exception("the debate on %r", question.id)
        what = told(error)
        return Fault(what, debate.failed(f"a fault of ours: {what}") if debate else None)


def told(error: Exception) -> str:
    """Return an error's type and what it says, in one line."""
    return well_formed(textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" …"))
