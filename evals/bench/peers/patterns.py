"""The order of calls of two debate programs, played by a small driver: who is called when, and what each reads.

The words are ours; what is theirs is the pattern, read from MALLM 1.0.5's source and from AutoGen's documented design
pattern "multi-agent debate" (core user guide, 0.4). The rows in the results say so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chorus.debate import grade
from personas import Persona

Message = dict[str, str]


class Caller:
    """Asks the server, counts nothing, retries nothing."""

    def __init__(self, client: Any, model: str, max_tokens: int) -> None:
        self._client = client
        self._model = model
        self._max_tokens = max_tokens

    async def __call__(self, messages: Sequence[Message]) -> str:
        """Return the reply to some messages."""
        reply = await self._client.chat.completions.create(
            model=self._model, messages=list(messages), max_tokens=self._max_tokens, temperature=0.0
        )
        return reply.choices[0].message.content or ""


async def mallm(call: Caller, question: str, cast: Sequence[Persona], rounds: int) -> str:
    """One agent after another; each has its role first, then the solution so far and the last two rounds.

    Every contribution is followed by a second call that extracts its answer, which is the next agent's solution so far.
    """
    said: list[tuple[str, str]] = []
    solution = "none yet"
    for _ in range(rounds):
        for persona in cast:
            role = f"You discuss a task with others. Task: {question}\nYour role: {persona.name} ({persona.summary})"
            history = [{"role": "user", "content": f"{who}: {words}"} for who, words in said[-2 * len(cast) :]]
            system = {"role": "system", "content": f"{role}\nCurrent solution: {solution}"}
            task = {"role": "user", "content": "Improve the current solution, or say that you agree with it."}
            words = await call([system, *history, task])
            said.append((persona.name, words))
            extract = f"Task: {question}\nText: {words}\nWrite the final answer that the text gives, and nothing else."
            solution = await call([{"role": "user", "content": extract}])
    return solution


async def autogen(call: Caller, question: str, cast: Sequence[Persona], rounds: int) -> str:
    """Solvers on a ring, each hearing its two neighbours, a round at a time; an aggregator takes the majority.

    Every solver keeps its own conversation, so that nothing but its own past is shared.
    """
    talks: list[list[Message]] = [
        [
            {"role": "system", "content": f"You are {person.name}. {person.summary} Solve the problem step by step."},
            {"role": "user", "content": question},
        ]
        for person in cast
    ]
    replies = await asyncio.gather(*(call(talk) for talk in talks))
    for _ in range(rounds - 1):
        for place, talk in enumerate(talks):
            others = [replies[place - 1], replies[(place + 1) % len(replies)]]
            heard = "\n".join(f"One agent's solution: {words}" for words in others)
            talk.append({"role": "assistant", "content": replies[place]})
            talk.append({"role": "user", "content": f"{heard}\nWith these as advice, answer again: {question}"})
        replies = await asyncio.gather(*(call(talk) for talk in talks))
    answers = [grade.extract(reply, "short") or reply for reply in replies]
    return Counter(answers).most_common(1)[0][0]
