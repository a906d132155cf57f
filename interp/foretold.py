"""The rule of who acts when, learnt from a baked model's own dialogues and what it holds before anybody has spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chorus import whole_file
from chorus.checkpoints.legibility import Measured
from chorus.types import Answer, Question
from interp import rules
from interp.errors import NothingToExplain
from interp.figures import Figures
from interp.plan import Config
from interp.probes import Array
from interp.rules import Rule
from interp.subject import Subject
from interp.vectors import Vector

RULE = "rule.txt"
"""In the work folder: the readable models."""
PLACES = 2
"""Of the dialogue's turns, the first ones, whose speaker is foretold."""


def foretold(
    subject: Subject, vectors: Mapping[str, Vector], dialogues: Sequence[Answer], config: Config, words: Path
) -> Figures:
    """Return for each place in the dialogue how well its speaker can be foretold, and write the rule in words.

    Raises NothingToExplain when the dialogues' voices can't be foretold at any place: too few questions, or a single voice.
    """
    asked = {record.id: record.question for record in dialogues}
    found: Figures = {}
    told: list[str] = []
    faults: list[str] = []
    for place in range(1, PLACES + 1):
        acts = [act for act in rules.acts(dialogues) if act.place == place]
        try:
            rule = when(subject, vectors, [asked[act.record] for act in acts], [act.voice for act in acts], config)
        except NothingToExplain as fault:
            faults.append(f"turn {place}: {fault}")
            continue
        found |= figures_of(rule, place)
        told += [f"Turn {place}, {model}:\n\n{text}\n" for model, text in rule.told.items()]
    if not found:
        raise NothingToExplain(f"no rule can be looked for in these dialogues ({'; '.join(faults)})")
    whole_file.put(words, "\n".join(told))
    return found


def when(
    subject: Subject,
    vectors: Mapping[str, Vector],
    questions: Sequence[Question],
    voices: Sequence[str],
    config: Config,
) -> Rule:
    """Foretell who acts from the stream at the personas' vectors; readable models see how far it goes along each."""
    if not questions:
        raise NothingToExplain("nobody speaks there")
    named: dict[str, Array] = {}
    read: list[Array] = []
    surface: dict[str, Array] = {}
    for hook in dict.fromkeys(vector.hook for vector in vectors.values()):
        seen, surface = rules.asked(subject.lens, subject.tokenizer, questions, hook, batch=config.batch)
        read.append(seen)
        named |= {
            name: seen @ (vector.direction / vector.direction.norm()).double().numpy()
            for name, vector in vectors.items()
            if vector.hook == hook
        }
    groups = [question.text for question in questions]
    named["length"] = surface["length"][:, 0]
    return rules.learn(np.concatenate(read, axis=1), voices, groups, named=named, surface=surface, seed=config.seed)


def figures_of(rule: Rule, place: int) -> Figures:
    """Return a rule as figures of a card."""
    name = f"who speaks at turn {place}"
    figures = {
        f"{name}: accuracy": Measured(value=rule.accuracy, interval=rule.interval, null=rule.band, p=rule.p),
        f"{name}: gain over always the commonest": Measured(value=rule.accuracy - rule.base),
        f"{name}: gain over words": Measured(value=rule.accuracy - max(rule.surface.values(), default=rule.base)),
    }
    kept = {model: share for model, share in rule.kept.items() if share is not None}
    return figures | {f"{name}: kept by a readable {model}": Measured(value=share) for model, share in kept.items()}
