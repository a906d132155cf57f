"""What an audit says of training: the audited model against its base, and the twin that learnt neutral text from it."""

from __future__ import annotations

import torch

from chorus.checkpoints.legibility import Measured
from interp import drift, figures, graph
from interp.discover import Discovery, neutral
from interp.errors import NothingToExplain
from interp.figures import Figures, Opened
from interp.subject import Subject
from interp.work import Work

SHIFT = "shift along"
"""Before a persona's name: how far the stream moved along its vector."""


def far(one: Opened, base: Subject, model: Subject, name: str) -> Figures:
    """Return how far next-token distributions moved under neutral prompts."""
    pairs = one.pairs
    counted = (pairs.weights != 0).float()
    groups = [str(item) for item in pairs.item.tolist()]
    found = drift.kl(base.lens, model.lens, pairs.corrupt, counted, groups, batch=one.config.batch)
    return {f"KL{name}": Measured(value=found.value, interval=found.interval)}


def along(one: Opened, base: Subject, model: Subject, name: str) -> Figures:
    """Return how far the stream moved along the persona's direction in the base, if it has one, under neutral prompts."""
    vector = Discovery(base, one.persona, one.config).at(one.vector.hook)
    rows, share = neutral(one.pairs)
    try:
        found = drift.shift_along(
            base.lens,
            model.lens,
            vector,
            one.pairs.corrupt[rows],
            share,
            groups=one.pairs.questions,
            randoms=one.config.randoms,
            seed=one.config.seed,
        )
    except NothingToExplain as idle:
        one.report(f"{one.persona}: {idle}")
        return {}
    null = figures.ends(found.null)
    return {f"{SHIFT} {one.persona}{name}": Measured(value=found.value, interval=found.interval, null=null, p=found.p)}


def circuits(one: Opened, base: Subject, work: Work) -> Figures:
    """Return over how many edges the behaviour is spread before and after, and what each circuit does in the other."""
    persona = one.persona
    saved = {
        "before": graph.load(work.folder / f"{persona}.base.circuit.json"),
        "after": graph.load(work.folder / f"{persona}.circuit.json"),
    }
    found = {
        f"edge entropy of {persona} {when}": Measured(value=each.graph["entropy"])
        for when, each in saved.items()
        if "entropy" in each.graph
    }
    masks = {when: graph.to_mask(each) for when, each in saved.items()}
    lenses = {"before": base.lens, "after": one.lens}
    try:
        with torch.no_grad():
            table = drift.cross_transfer(lenses, masks, one.pairs, batch=one.config.batch)
    except NothingToExplain as idle:  # One of them doesn't know the persona.
        one.report(f"{persona}: {idle}")
        return found
    both = (("before", "after"), ("after", "before"))
    return found | {
        f"{persona}'s circuit from {whence}, faithfulness {where}": Measured(
            value=table[whence][where].value, interval=table[whence][where].interval
        )
        for whence, where in both
    }
