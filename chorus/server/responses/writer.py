"""The stream of a response: events with a number each, in the order that OpenAI's clients take them in.

    response.created · response.in_progress
    output_item.added (reasoning) · for each voice: reasoning_summary_part.added, _text.delta …, _text.done, _part.done
    output_item.done · output_item.added (message) · content_part.added · output_text.delta … · output_text.done
    content_part.done · output_item.done · for each tool call: output_item.added, function_call_arguments.delta, .done,
    output_item.done · response.completed, or .incomplete, or .failed · [DONE], as Open Responses wants it

Invariant: what the pieces make together is what the last event holds as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chorus.server.live import LiveDebate
from chorus.server.onair import Said
from chorus.server.responses import resource
from chorus.server.responses.resource import Object, Resource
from chorus.server.sse import message
from chorus.types import ToolCall

_NOW = "in_progress"


class Writer:
    """Writes one stream."""

    def __init__(self, told: Resource, live: LiveDebate) -> None:
        self._told, self._live = told, live
        self._number = 0
        self._index = 0
        """Of the output item that is being written, or comes next."""
        self._voices: list[str] = []
        """What each voice said so far."""
        self._text: str | None = None
        """The answer so far; None before it began."""
        self._reasoning_over = False

    def begin(self) -> list[bytes]:
        """Return the events before anybody has spoken."""
        begun = self._told.begun(self._live)
        return [self._event(f"response.{name}", response=begun) for name in ("created", "in_progress")]

    def voices(self, said: Sequence[Said]) -> list[bytes]:
        """Return events of what the voices said next. Nothing more of them is told once the answer has begun."""
        out: list[bytes] = []
        for one in () if self._reasoning_over else said:
            if one.opens:
                out += (
                    self._voice_over() if self._voices else [self._added(resource.reasoning(self._live.id, (), _NOW))]
                )
                self._voices.append("")
                out.append(self._of_voice("response.reasoning_summary_part.added", part=resource.summary("")))
            self._voices[-1] += one.text
            out.append(self._of_voice("response.reasoning_summary_text.delta", delta=one.text))
        return out

    def words(self, piece: str) -> list[bytes]:
        """Return events of the answer's next words."""
        out = self._answer_begun()
        self._text = (self._text or "") + piece
        return [*out, self._of_answer("response.output_text.delta", delta=piece, logprobs=[])] if piece else out

    def end(self, left: str, calls: Sequence[ToolCall]) -> list[bytes]:
        """Return the last events of a response that has its answer.

        Args:
            left: words of the answer that are not out yet.
            calls: the tools to be called.
        """
        whole = self._told.ended(self._live)
        item = next((one for one in whole["output"] if one["type"] == "message"), None)
        out = self._debate_over()
        if item:
            out += self.words(left)
            part = item["content"][0]
            out.append(self._of_answer("response.output_text.done", text=part["text"], logprobs=[]))
            out.append(self._of_answer("response.content_part.done", part=part))
            out.append(self._done(item))
        for place, call in enumerate(calls):
            out += self._call(place, call)
        return [*out, self._event(f"response.{whole['status']}", response=whole)]

    def fail(self, failure: BaseException) -> list[bytes]:
        """Return the last events of a response without an answer."""
        failed = self._told.failed(self._live, failure)
        return [*self._debate_over(), self._event("response.failed", response=failed)]

    # ---- the parts of an item ----------------------------------------------------------------------------------------

    def _debate_over(self) -> list[bytes]:
        """Close the reasoning item, if one is open."""
        if self._reasoning_over:
            return []
        self._reasoning_over = True
        if not self._voices:
            return []
        return [*self._voice_over(), self._done(resource.reasoning(self._live.id, self._voices))]

    def _voice_over(self) -> list[bytes]:
        text = self._voices[-1]
        return [
            self._of_voice("response.reasoning_summary_text.done", text=text),
            self._of_voice("response.reasoning_summary_part.done", part=resource.summary(text)),
        ]

    def _answer_begun(self) -> list[bytes]:
        """Open the message, if it isn't."""
        if self._text is not None:
            return []
        return [
            *self._debate_over(),
            self._added(resource.message(self._live.id, None, _NOW)),
            self._of_answer("response.content_part.added", part=resource.words("")),
        ]

    def _call(self, place: int, call: ToolCall) -> list[bytes]:
        item = resource.function_call(self._live.id, place, call)
        at = {"item_id": item["id"], "output_index": self._index}
        return [
            self._added(resource.function_call(self._live.id, place, call, _NOW)),
            self._event("response.function_call_arguments.delta", **at, delta=call.arguments),
            self._event("response.function_call_arguments.done", **at, arguments=call.arguments),
            self._done(item),
        ]

    # ---- one event ---------------------------------------------------------------------------------------------------

    def _added(self, item: Object) -> bytes:
        return self._event("response.output_item.added", output_index=self._index, item=item)

    def _done(self, item: Object) -> bytes:
        done = self._event("response.output_item.done", output_index=self._index, item=item)
        self._index += 1
        return done

    def _of_voice(self, kind: str, **fields: Any) -> bytes:
        place = len(self._voices) - 1
        return self._event(kind, item_id=f"rs_{self._live.id}", output_index=self._index, summary_index=place, **fields)

    def _of_answer(self, kind: str, **fields: Any) -> bytes:
        return self._event(kind, item_id=f"msg_{self._live.id}", output_index=self._index, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return message(data, event=kind)
