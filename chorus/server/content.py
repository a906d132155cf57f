"""The answer itself on its way out: what may go now, and what must wait since it could still be taken back.

What is out is always a beginning of the final answer. So white space at either end waits, and so does whatever may be
the beginning of a stop string; a call that is made again goes on where its words differ from none that are out.
"""

from __future__ import annotations

from collections.abc import Sequence

from chorus.errors import EngineError


class Content:
    """The words of one answer. `stops` end it, and are not part of it."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = stops
        self._text = ""
        self._sent = ""

    def say(self, piece: str) -> None:
        """Take the next words of the voice that writes the answer."""
        self._text += piece

    def void(self) -> None:
        """Forget the words that are not out: their call failed, and is made again."""
        self._text = ""

    def ready(self) -> str:
        """Return what can go out now."""
        text, stopped = cut(self._text.lstrip(), self._stops)
        sure = text if stopped else text[: len(text) - self._unsure(text)]
        sure = sure.rstrip()
        if len(sure) <= len(self._sent) or not sure.startswith(self._sent):
            return ""
        new, self._sent = sure[len(self._sent) :], sure
        return new

    def close(self, final: str) -> str:
        """Return what is left to go out of the answer as it was decided.

        Raises:
            EngineError: something else is out already.
        """
        text, _ = cut(final, self._stops)
        if not text.startswith(self._sent):
            raise EngineError("the answer came out otherwise than its first words, which have been sent: ask again")
        new, self._sent = text[len(self._sent) :], text
        return new

    def _unsure(self, text: str) -> int:
        """Return how many characters at the end may turn out to be a stop string."""
        lengths = (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
        return max(lengths, default=0)


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text up to the stop string that is complete first, as a reader would meet it, and whether there was one."""
    met = ((at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0)
    _, at = min(met, default=(0, -1))
    return (text[:at], True) if at >= 0 else (text, False)
