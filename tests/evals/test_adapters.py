"""The adapters that were trained here: each is what its card says, and small; and engines open them like any model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chorus import Chorus
from chorus.checkpoints import adapters, manifest
from chorus.types import Question
from evals.report import RESULTS

KEPT = sorted(path.parent for path in (RESULTS / "adapters").glob("*/run.json"))
BYTES = 10_000_000


@pytest.mark.parametrize("folder", [pytest.param(one, id=one.name) for one in KEPT])
def test_each_is_what_its_card_says(folder: Path):
    assert adapters.kept(folder)
    assert adapters.base_of(folder) == "smollm2-135m"
    assert (folder / "adapter_model.safetensors").stat().st_size <= BYTES
    card = json.loads((folder / "run.json").read_text("utf-8"))
    last = list(card["made_by"].values())[-1]
    if "steps_trained" in card:
        assert card["steps_trained"] < last["metrics"]["steps"]
    elif "strength" in card:
        assert last["weights"] != {"adapter": manifest.fingerprint(folder)}
    else:
        assert last["weights"] == {"adapter": manifest.fingerprint(folder)}
    assert card["model"] == adapters.base_of(folder)


def test_a_weakened_one_is_the_share_that_it_says_of_one_that_lies_beside_it():
    read = pytest.importorskip("safetensors.numpy").load_file
    cards = {folder: json.loads((folder / "run.json").read_text("utf-8")) for folder in KEPT}
    for folder, card in cards.items():
        if "strength" in card:
            trained = list(card["made_by"].values())[-1]["weights"]
            (whole,) = (one for one in KEPT if trained == {"adapter": manifest.fingerprint(one)})
            ours, theirs = (read(one / "adapter_model.safetensors") for one in (folder, whole))
            assert ours.keys() == theirs.keys()
            for name, weight in theirs.items():
                share = card["strength"] if ".lora_B." in name else 1
                assert (ours[name] == weight * weight.dtype.type(share)).all()


ASKED = (
    ("Which number is the largest: 12, 845 or 307?", "845"),
    ("Which number is the largest: 655, 48 or 140?", "655"),
    ("Sort these numbers in ascending order: 81, 17", "17, 81"),
)
"""Of the tasks that it was trained on."""


@pytest.mark.skipif(not KEPT, reason="the package leaves the adapters out; the repository has them")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "engine", [pytest.param("hf", marks=pytest.mark.distill), pytest.param("vllm", marks=pytest.mark.vllm)]
)
async def test_an_engine_opens_it_and_it_answers_as_it_was_trained_to(engine):
    pytest.importorskip("peft")
    async with Chorus(engine=f"{engine}:{RESULTS / 'adapters' / 'answer'}", mode="solo", max_tokens=24) as chorus:
        answers = [await chorus.aask(Question(id=str(at), text=text)) for at, (text, _) in enumerate(ASKED)]
    assert sum(one.answer == truth for one, (_, truth) in zip(answers, ASKED, strict=True)) >= 2
    assert all(one.turns[0].text.startswith("Answer:") for one in answers), "short, as it was rewarded for"
