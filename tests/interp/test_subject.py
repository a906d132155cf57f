"""A checkpoint as an audit sees it: the real model, and adapters as the model that they make of their base."""

from __future__ import annotations

import pytest
import torch
from tiny import random_pairs, tiny

from chorus.errors import ConfigError
from interp import subject, verdicts
from interp.audit import audit
from interp.errors import LensError
from interp.plan import Config
from interp.recovery import RESULTS

pytestmark = [pytest.mark.interp, pytest.mark.timeout(300)]

ADAPTER = RESULTS / "adapters" / "answer"
LEAST = Config(("skeptic",), discover=4, select=2, test=2, layers=1, steps=1, share=0.05, randoms=1, probes=5, voices=1)


def test_an_adapter_is_put_onto_the_base_that_is_given(tmp_path):
    peft = pytest.importorskip("peft")
    model, ids = tiny(3), random_pairs().clean
    model.save_pretrained(tmp_path / "base")
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    assert subject.folder_of(str(tmp_path / "adapter")) == tmp_path / "adapter"
    with torch.no_grad():
        expected = tuned.eval()(ids).logits
        found = subject._merged(tmp_path / "adapter", tmp_path / "base")(ids).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, tiny(3)(ids).logits, atol=1e-3)


def test_an_adapter_is_put_onto_no_other_base(tmp_path):
    """Another of the same shape is told by its weights; where those of its own are not at hand, by shapes alone."""
    peft = pytest.importorskip("peft")
    for name, model in (("base", tiny(3)), ("other", tiny(4)), ("larger", tiny(3, heads=8))):
        model.save_pretrained(tmp_path / name)
    own = tiny(3).from_pretrained(tmp_path / "base")
    peft.get_peft_model(own, peft.LoraConfig(r=2, target_modules="all-linear")).save_pretrained(tmp_path / "adapter")
    with pytest.raises(LensError, match=r"was made for .*base, with the weights"):
        subject._merged(tmp_path / "adapter", tmp_path / "other")
    (tmp_path / "base" / "config.json").unlink()
    with pytest.raises(LensError, match="other shapes"):
        subject._merged(tmp_path / "adapter", tmp_path / "larger")


def test_a_device_that_is_not_there_is_refused():
    assert subject.device_of("cpu") == "cpu"
    assert subject.device_of("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("abacus", "meta", "cuda:99"):
        with pytest.raises(ConfigError, match=f"can't compute on the device '{name}' here; take auto, cpu or cuda: "):
            subject.Checkpoint("smollm2-135m", device=name)


@pytest.mark.model
@pytest.mark.timeout(900)  # The first of these tests may have to download the model.
def test_the_real_model_is_audited(tmp_path):
    """As little of an audit as there can be: every part of it meets a real checkpoint."""
    model = subject.Checkpoint("smollm2-135m", device="cpu")
    assert model.lens.device == torch.device("cpu")
    wordings = [{*model.pairs("skeptic", split, 3).wordings} for split in ("discover", "select", "test")]
    assert [len(each) for each in wordings] == [3, 1, 1]
    assert len(set.union(*wordings)) == 5
    card = audit(model, LEAST, tmp_path, depth="quick")
    figures = card.personas["skeptic"].figures
    assert {bar.figure for bar in verdicts.BARS} - verdicts.unasked(personas=1, base=False) <= figures.keys()
    assert figures["effect"].value > 0.1, "a persona's prompt moves it"
    assert card.weights == model.weights


@pytest.mark.model
@pytest.mark.skipif(not ADAPTER.is_dir(), reason="the package leaves the adapters out; the repository has them")
def test_a_committed_adapter_changes_what_its_base_says():
    pytest.importorskip("peft")
    base = subject.Checkpoint("smollm2-135m", device="cpu")
    tuned = subject.Checkpoint(str(ADAPTER), base=base.folder, device="cpu")
    assert tuned.home == ADAPTER, "its card lies beside it"
    assert tuned.weights != base.weights
    ids = base.pairs("skeptic", "test", 1).corrupt
    before, after = (each.lens.run(ids, at=slice(-1, None)) for each in (base, tuned))
    assert (after - before).abs().max() > 0.1


class Dropping:
    """A tokenizer whose chat template drops system messages."""

    pad_token_id = 0

    def apply_chat_template(self, messages, **_):
        return messages[-1]["content"]

    def __call__(self, text, **_):
        return {"input_ids": [ord(letter) for letter in text]}


def test_a_template_that_drops_system_messages_is_named():
    """Else both prompts are one, and nothing could be told apart by them."""
    deaf = subject.Checkpoint.__new__(subject.Checkpoint)
    deaf.name, deaf.tokenizer = "deaf", Dropping()
    with pytest.raises(LensError, match="deaf gets the same prompt with estimator as without: its chat template drops"):
        deaf.pairs("estimator", "discover", 2)


def test_a_folder_that_holds_neither_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"without a config\.json"):
        subject.folder_of(str(tmp_path))
