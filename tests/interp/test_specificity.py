"""Two personas in one model: each with a circuit of its own, or both carried by the same one, which explains neither."""

from __future__ import annotations

import pytest

from interp import planted
from interp.audit import audit
from interp.bridge import Lens
from interp.plan import Config
from interp.planted_subject import OFFSET, PlantedSubject

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

CONFIG = Config(
    ("planted", "other"), discover=8, select=8, test=8, layers=2, steps=3, share=0.05, randoms=19, probes=5, voices=2,
    batch=64,
)  # fmt: skip
OTHER = planted.FIRST_PLACEBO
"""The other persona's token; without it the one that follows stands in its place."""


class Two(PlantedSubject):
    """It has a second persona, whose token is the first placebo's."""

    def pairs(self, persona, split, items):
        return planted.persona_pairs(items, self.seed + OFFSET[split], placebo=0 if persona == "other" else None)

    def placebos(self, pairs, count, seed):
        drawn = range(1, count + 1)
        return [planted.persona_pairs(len(pairs), self.seed + OFFSET["test"], placebo=number) for number in drawn]


class Gardener(planted._Gardener):
    """It sows a second chain, for the second persona."""

    def sow_chain(self, strength, *, begin):
        first = super().sow_chain(strength, begin=begin)
        self.sign, table = self.new(), self.model.model.embed_tokens.weight
        table[OTHER] = table[OTHER + 1] = planted.STEADY * self.steady + 1.5 * self.slot
        table[OTHER] += self.sign
        table[OTHER + 1] -= self.sign
        super().sow_chain(strength, begin=begin)
        return first


@pytest.fixture(params=["own", "generic"])
def two(request, monkeypatch):
    """Which sort of circuits, and the model."""
    if request.param == "own":
        monkeypatch.setattr(planted, "_Gardener", Gardener)
        return request.param, Two(102)
    made = Two(102)
    table = made.plant.model.model.embed_tokens.weight
    table[OTHER : OTHER + 2] = table[planted.PERSONA : planted.PERSONA + 2]
    made.lens = Lens(made.plant.model)
    return request.param, made


def test_a_circuit_that_carries_every_persona_explains_none(two, tmp_path):
    sort, model = two
    card = audit(model, CONFIG, tmp_path, depth="quick")
    for own in card.personas.values():
        missed = {reason.split(":")[0] for reason in own.reasons}
        assert own.figures["faithfulness"].value == pytest.approx(1, abs=0.2)
        if sort == "own":
            assert own.figures["specificity"].interval[0] > 0.5
            assert "specificity" not in missed
        else:
            assert own.figures["specificity"].value == pytest.approx(0, abs=1e-6)
            assert own.verdict == "unexplained"
            assert "specificity" in missed
