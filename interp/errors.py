"""What can go wrong in the laboratory."""

from __future__ import annotations

from chorus.errors import ChorusError


class LensError(ChorusError):
    """A model, a pair of prompts or a saved circuit can't be examined as was asked."""


class UnknownArchitecture(LensError):
    """The model's residual stream is not the sum of parts that a circuit is drawn over."""


class NothingToExplain(LensError):
    """What was to be explained is not there: no behaviour, no turn of a voice, one voice alone. No fault of the model's."""


class NoShift(NothingToExplain):
    """Training left a behaviour as it was: there is nothing of which a share could be explained."""

    def __init__(self, value: float, interval: tuple[float, float] | None) -> None:
        """Take the shift that is none, in nats a token, with its interval, if it has one."""
        super().__init__(f"the behaviour shifted by {value:.1g} nats a token: there is no shift to explain")
        self.value, self.interval = value, interval


class HookMissed(LensError):
    """A hook was set and the model never came by: what it would have measured or changed did not happen."""

    exit_code = 1


class NotFinite(LensError):
    """An activation or a score is NaN or infinite."""

    exit_code = 3
