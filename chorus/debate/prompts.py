"""What a voice reads, and in which order.

In the `shared` layout the parts come as charter with the cards of the whole cast, question, transcript in one append-only
order, and last who is speaking, in a line: every seat's prompt then begins with the same tokens, a round's prompts begin
with those of the round before, and no card is computed twice, not even in the next debate of the same cast. The `system`
layout puts the one seat's card into the system message, first, as most programs do. Invariants:

- what a persona said stands line by line behind `> `, with chat-template tokens broken, so it can't leave its quotation;
- a seat reads the turns that it heard, in this round and before, ordered by round and then by seat in the plan;
- parts meet at an empty line before a letter or a `[`, where tokenizers cut: what seats share they share by tokens too;
  but the one sentence that tells a small model bare answers is shared only within its round, and by the next round up to
  its last answer but for the mark behind it;
- nothing is cut silently: `fit` drops the oldest turns first, and says how many, in the prompt and to the caller.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import yaml

from chorus.engines.base import Engine, estimate_tokens
from chorus.errors import ContextTooLong
from chorus.types import LETTERS, Message, Plan, Question, Turn, TurnKind, Visibility
from personas.persona import Persona

SUMMARY_CHARS = 200
"""Length of each of the two sentences that the visibility `summary` shows, in characters."""

STOPS = ("\nQuestion:", "\n[1.", "\n[2.", "\n[3.")
"""Where a voice begins to speak for others, it has said what it had to say. Servers take at most four."""

MARGIN = 8
"""Tokens of the context window that are left free."""

# Markers by which chat templates tell roles and turns apart. Any of them inside quoted text is broken up.
_TEMPLATE_TOKEN = re.compile(
    r"<\|[^|>\n]{0,64}\|>|<\|?|\|>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|｜"
)
_TAG = re.compile(
    r"<(?=/?(?:s|bos|eos|pad|unk|think|start_of_turn|end_of_turn|start_of_image|tool_call|SYS|<SYS>)\b)", re.I
)
_LINE_BREAK = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn as a seat hears it."""

    turn: Turn
    visibility: Visibility


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages ready for an engine, and what was left out of them."""

    messages: tuple[Message, ...]
    dropped: int = 0
    """How many of the oldest turns were left out to fit the context window."""

    @property
    def sha256(self) -> str:
        """Hash of the messages."""
        digest = hashlib.sha256()
        for message in self.messages:
            calls = "".join(f"{call.id}\0{call.name}\0{call.arguments}\0" for call in message.tool_calls)
            answered = f"{message.tool_call_id}\0" if message.tool_call_id else ""
            said = f"{message.role}\0{message.content}\0{calls}{answered}"
            digest.update(said.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def plain(text: str) -> str:
    """Return text in which no chat template finds a marker of its own, and every line break is a newline."""
    text = _CONTROL.sub("", _LINE_BREAK.sub("\n", text))
    if "<" in text or "|>" in text or "[" in text or "｜" in text:
        text = _TEMPLATE_TOKEN.sub(_broken, text)
        text = _TAG.sub("‹", text)
    return text


def quote(text: str) -> str:
    """Return what a persona said, every line behind `> `."""
    return "\n".join(f"> {line}" for line in plain(text).strip().split("\n"))


@dataclass(frozen=True)
class Prompter:
    """Writes the prompts of one debate."""

    plan: Plan
    question: Question
    personas: dict[str, Persona]
    """By id."""

    def speech(self, seat: str, persona: str, heard: Sequence[Heard], *, dropped: int = 0) -> Prompt:
        """Ask a seat for its turn: a first draft when nobody was heard yet, else to weigh what was said."""
        if self.plan.trained_prompt is not None:
            return Prompt(trained(self.plan.trained_prompt, self.question))
        key = "again" if heard or dropped else "draft"
        dial = self.plan.openness
        words = {"cue": self.personas[persona].cue, "yield": "" if dial is None else f" {_yield(dial)}"}
        task = self._own(seat, heard) + self._words(key, **words)
        return self._prompt(self._who(seat, persona), heard, task, dropped)

    def ballot(
        self, seat: str, persona: str, heard: Sequence[Heard], options: Sequence[str], *, dropped: int = 0
    ) -> Prompt:
        """Ask a seat to rank the answers on the table."""
        listed = "\n".join(f"{letter}. {plain(option)}" for letter, option in zip(LETTERS, options, strict=False))
        return self._prompt(self._who(seat, persona), heard, self._words("ballot", options=listed), dropped)

    def check(self, seat: str, persona: str, heard: Sequence[Heard], answer: str, *, dropped: int = 0) -> Prompt:
        """Ask a seat whether an answer is right. The answer comes last: a seat's checks share all that stands before it."""
        shown = plain(answer) if self.plan.detail == "brief" else quote(answer)
        task = self._words("check", cue=self.personas[persona].cue, answer=shown)
        return self._prompt(self._who(seat, persona), heard, task, dropped)

    def closing(self, kind: TurnKind, heard: Sequence[Heard], *, dropped: int = 0) -> Prompt:
        """Ask the judge for its ruling, or the coordinator for its synthesis."""
        return self._prompt("", heard, self._words(kind), dropped)

    def inner(self) -> Prompt:
        """Ask one model for the whole conversation in one call."""
        if self.plan.trained_prompt is not None:
            return Prompt(trained(self.plan.trained_prompt, self.question))
        people = [self.personas[seat.persona] for seat in self.plan.seats]
        brief = self.plan.detail == "brief"
        cards = "\n".join(f"{p.name}: {p.cue if brief else p.summary + ' ' + ' '.join(p.method)}" for p in people)
        names = ", ".join(p.name for p in people)
        return self._prompt("", (), self._words("inner", cards=cards, names=names, rounds=str(self.plan.rounds)), 0)

    def _prompt(self, who: str, heard: Sequence[Heard], task: str, dropped: int) -> Prompt:
        charter = self._charter
        parts = [self._words("question", question=_asked(self.question))]
        if self._in_a_sentence(heard):
            # Small models take marks and empty lines for something to go on writing; a sentence they take as told.
            task = f"{self._words('answers', answers=_answers(heard))} {task}"
        elif heard or dropped:
            parts.append(self._words("heard"))
            if dropped:
                parts.append(f"({dropped} earlier turns are left out here: the context is full.)")
            parts += [self._block(one) for one in heard]
        if self._shares:
            parts += [who] if who else []
        else:
            charter = f"{charter}\n\n{who}" if who else charter
        parts.append(task)
        return Prompt(_messages(charter, self.question, "\n\n".join(parts)), dropped)

    def _block(self, heard: Heard) -> str:
        turn, answer = heard.turn, heard.turn.position.answer if heard.turn.position else None
        mark = f"[{turn.id}]"
        if heard.visibility == "answer":
            return f"{mark} {_answer(turn)}"
        said = turn.text if heard.visibility == "full" else _summary(turn.text)
        if heard.visibility == "summary" and answer:
            said = f"{said}\nAnswer: {answer}"
        return f"{mark}\n{quote(said) if said.strip() else '> (said nothing)'}"

    @functools.cached_property
    def _charter(self) -> str:
        """The system message as all seats have it in common."""
        parts = [self._words("charter"), self._cast() if self._shares else ""]
        return "\n\n".join(part for part in parts if part)

    @property
    def _shares(self) -> bool:
        return self.plan.layout == "shared"

    def _cast(self) -> str:
        """Return the cards of the whole cast, each with the seats that speak for it.

        One voice needs no list, and there is none where the cards aren't at hand: a record that is decided again.
        """
        seats: dict[str, list[str]] = {}
        for seat in self.plan.seats:
            seats.setdefault(seat.persona, []).append(seat.seat)
        if len(self.plan.seats) == 1 or self.plan.mode == "inner" or not seats.keys() <= self.personas.keys():
            return ""
        cards = (
            self._words("card", seats=", ".join(names), **_card(self.personas[id_])) for id_, names in seats.items()
        )
        return self._words("cast", cards="\n\n".join(cards))

    def _who(self, seat: str, persona: str) -> str:
        """Say who is speaking: in a line where the card stands in the charter, else with the card."""
        key = "as" if self._shares and len(self.plan.seats) > 1 else "alone"
        return self._words(key, seat=seat, cue=self.personas[persona].cue, **_card(self.personas[persona]))

    def _own(self, seat: str, heard: Sequence[Heard]) -> str:
        """Say which marks are the seat's, where the words on who is speaking don't."""
        marked = not self._in_a_sentence(heard) and any(one.turn.seat == seat for one in heard)
        return self._words("own", seat=seat) if marked else ""

    def _in_a_sentence(self, heard: Sequence[Heard]) -> bool:
        """Tell whether what was heard is told in one sentence, without marks."""
        return self.plan.detail == "brief" and bool(heard) and all(one.visibility == "answer" for one in heard)

    def _words(self, key: str, **values: str) -> str:
        words = _prompts()[self.plan.detail]
        if self.plan.positions == "json":
            key = f"{key}_json" if f"{key}_json" in words else key
            values["form"] = _prompts()["form"][self.plan.kind]
        return _fill(words[key], values)


def trained(prompt: str, question: Question) -> tuple[Message, ...]:
    """Return what a baked checkpoint was trained to answer: the prompt of one of its styles, and the bare question."""
    return _messages(prompt, question, _asked(question))


async def fit(
    engine: Engine, write: Callable[[Sequence[Heard], int], Prompt], heard: Sequence[Heard], max_tokens: int
) -> Prompt:
    """Return the prompt with as many of the newest turns as the engine's context window holds.

    Args:
        engine: counts the tokens.
        write: makes the prompt from the turns kept and the number dropped.
        heard: all turns, oldest first.
        max_tokens: room that the completion needs.

    Raises:
        ContextTooLong: not even a prompt without any turn fits.
    """
    room = engine.info.context_window - max_tokens - MARGIN
    prompt = write(heard, 0)
    # Bytes bound tokens from above, so most prompts need no counting.
    if estimate_tokens(prompt.messages) <= room or await engine.count(prompt.messages) <= room:
        return prompt
    low, high, best = 1, len(heard), None
    while low <= high:
        dropped = (low + high) // 2
        prompt = write(heard[dropped:], dropped)
        if await engine.count(prompt.messages) <= room:
            best, high = prompt, dropped - 1
        else:
            low = dropped + 1
    if best is None:
        needed = await engine.count(prompt.messages) + max_tokens
        raise ContextTooLong(
            f"the question alone needs about {needed} tokens with its answer, and the context window holds "
            f"{engine.info.context_window}: shorten the question or its history, or lower --max-tokens"
        )
    return best


def _messages(system: str, question: Question, last: str) -> tuple[Message, ...]:
    """Return a prompt: the system message, the conversation so far, and the last word to the model."""
    history = (message.model_copy(update={"content": plain(message.content)}) for message in question.history)
    return Message(role="system", content=system), *history, Message(role="user", content=last)


def _asked(question: Question) -> str:
    """Return a question as voices read it: its text, and its choices where the text doesn't list them."""
    text = plain(question.text).strip()
    if question.choices and not all(choice in text for choice in question.choices):
        listed = [f"{letter}) {plain(choice)}" for letter, choice in zip(LETTERS, question.choices, strict=False)]
        return "\n".join([text, *listed])
    return text


def _card(persona: Persona) -> dict[str, str]:
    method = "\n".join(f"{number}. {step}" for number, step in enumerate(persona.method, 1))
    return {"name": persona.name, "summary": persona.summary, "method": method, "voice": persona.voice}


def _answers(heard: Sequence[Heard]) -> str:
    """Return the answers of the turns in one line, round after round."""
    rounds = itertools.groupby(heard, key=lambda one: one.turn.round)
    return ", then ".join("; ".join(_answer(one.turn) for one in said) for _, said in rounds)


def _answer(turn: Turn) -> str:
    return plain(turn.position.answer).replace("\n", " ") if turn.position else "(no answer)"


def _broken(match: re.Match[str]) -> str:
    return (
        match.group()
        .replace("<", "‹")
        .replace(">", "›")
        .replace("[", "(")
        .replace("]", ")")
        .replace("｜", "¦")
        .replace("|", "¦")
    )


def _summary(text: str) -> str:
    """Return the first and the last sentence."""
    sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if part.strip()]
    kept = sentences[:1] + sentences[-1:] if len(sentences) > 1 else sentences
    return "\n".join(part[:SUMMARY_CHARS] for part in kept)


def _yield(openness: float) -> str:
    words = cast("list[str]", _prompts()["yield"])
    return words[min(int(openness * len(words)), len(words) - 1)]


def _fill(template: str, values: dict[str, str]) -> str:
    if "{" not in template:
        return template
    # Not str.format: a question with braces in it is text, not a template.
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match.group(1), match.group()), template)


@functools.cache
def _prompts() -> dict[str, Any]:
    text = importlib.resources.files("chorus.debate").joinpath("prompts.yaml").read_text("utf-8")
    return cast("dict[str, Any]", yaml.safe_load(text))
