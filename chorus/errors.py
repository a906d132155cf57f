"""What can go wrong, one class per boundary.

Messages say what was wrong, where, and what to do. `exit_code` is what the command line returns.
"""

from __future__ import annotations


class ChorusError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 2


class ConfigError(ChorusError):
    """A setting, a SPEC or an option can't be used."""


class QuestionError(ChorusError):
    """The question can't be put to a chorus: empty, too long, or a faulty line of a question file."""


class TopologyError(ChorusError):
    """The debate graph is not one that voices can sit on."""


class RecordError(ChorusError):
    """A saved debate can't be read, or can't be decided again in the way that was asked."""


class NotSaved(RecordError):
    """A record could not be written; the file holds what it held before."""

    exit_code = 3


class StoreError(ChorusError):
    """The database of debates and keys can't be opened, read or written. What was to be written was not, at all."""

    exit_code = 3


class MissingExtra(ChorusError):
    """A part of the package was used whose dependencies are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)  # as it is made, so that it can travel between processes

    def __str__(self) -> str:
        what, extra = self.args
        return f"{what} needs an extra that is not installed: pip install 'greek-chorus[{extra}]'"


class CheckpointError(ChorusError):
    """A model's files can't be found, fetched or loaded."""

    exit_code = 3


class EngineError(ChorusError):
    """The engine failed a call. `retryable` says whether the same call may succeed later."""

    exit_code = 3

    def __init__(self, message: str, *, retryable: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class ContextTooLong(EngineError):
    """The engine says that the prompt and the answer don't fit its context window."""


class EngineUnreachable(EngineError):
    """Nobody answers where the engine should be: it is down, or starting again. The call never reached it."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, retryable=True, retry_after_s=retry_after_s)


class EngineDied(EngineError):
    """The engine came to an end. Calls fail until it is opened again."""


class SchemaRefused(EngineError):
    """The engine can't decode by the JSON schema of the call. The same call without it may succeed."""


class DebateFailed(ChorusError):
    """A debate ended with nothing decided. `answer` holds its record."""

    exit_code = 3

    def __init__(self, message: str, answer: object = None) -> None:
        super().__init__(message)
        self.answer = answer
