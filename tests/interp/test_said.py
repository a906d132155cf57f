"""A saved debate under the lens of the model that spoke it, and of no other."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from chorus.debate.inner import voices
from chorus.debate.prompts import Prompter
from chorus.distill.styles import PROMPTS
from chorus.errors import RecordError
from chorus.record import jsonl, transcript
from interp import commands, examine, planted, subject
from interp.bridge import Lens
from interp.errors import LensError
from interp.said import audible, check_dialogues, of_record
from interp.vectors import Vector, random_like
from personas import Library

pytestmark = [pytest.mark.interp, pytest.mark.timeout(300)]

RECORD = Path(__file__).parents[2] / "evals" / "results" / "first-debate.jsonl"
TURN = "2.decomposer"
CARDS = Library.builtin()


class Letters:
    """A tokenizer with a token a letter."""

    chat_template = "there is one"

    def apply_chat_template(self, messages, **options):
        text = "".join(f"<{m['role']}>{m['content']}" for m in messages)
        return self(text)["input_ids"] if options.get("tokenize", True) else text

    def __call__(self, text, **options):
        return {"input_ids": [ord(letter) % 100 for letter in text]}

    def decode(self, ids):
        return "".join(map(chr, ids))


@pytest.fixture(scope="module")
def record():
    """A saved debate without the hashes of prompts, whose words have changed since."""
    (saved,) = transcript.read(RECORD)
    turns = tuple(turn.model_copy(update={"prompt_sha256": None}) for turn in saved.turns)
    return saved.model_copy(update={"turns": turns})


@pytest.fixture(scope="module")
def cards(record):
    library = Library.builtin()
    return {name: library.get(name) for name in (*record.personas, "plain")}


def of(record, cards, *, turn=TURN, weights=None):
    return of_record(record, turn, cards, Letters(), cards["plain"], weights or record.plan.checkpoint_sha256)


def inner(record):
    plan = record.plan.model_copy(update={"mode": "inner", "trained_prompt": PROMPTS["chorus"]})
    return record.model_copy(update={"plan": plan})


def test_a_turn_is_asked_for_again_as_it_was(record, cards):
    found = of(record, cards)
    said = next(turn.text for turn in record.turns if turn.id == TURN)
    assert found.ids[-len(said) :].tolist() == Letters()(said)["input_ids"]
    assert len(found.tokens) == len(said)
    assert not torch.equal(found.ids, found.plain)
    assert found.ids[-len(found.tokens) :].equal(found.plain[-len(found.tokens) :])
    with pytest.raises(LensError, match="no turn"):
        of(record, cards, turn="9.nobody")
    (hashed,) = transcript.read(RECORD)
    altered = cards | {"decomposer": cards["decomposer"].model_copy(update={"cue": "Be another."})}
    with pytest.raises(LensError, match="as it was"):
        of(hashed, altered)


def test_another_models_record_is_refused(record, cards):
    for saved in (record, dialogue(record)):
        with pytest.raises(LensError, match=r"spoken by hf:smollm2-135m with the weights .* under the lens are 0000"):
            of(saved, cards, weights="0" * 64)


DIALOGUE = "The Decomposer: Tens first: 30.\nThe Formalist: Decomposer, and 13 more.\nAnswer: 43"


def dialogue(record, *, trained=True, text=DIALOGUE):
    """What one model wrote in one call, as a record keeps it."""
    plan = inner(record).plan.model_copy(update={} if trained else {"trained_prompt": None})
    cast = {seat.persona: seat for seat in plan.seats}
    said = {voice.seat.persona: voice for voice in voices(text, plan, {name: CARDS.get(name) for name in cast})}
    first, *_ = record.turns
    turns = [
        first.model_copy(
            update={
                "id": f"1.{name}",
                "seat": cast[name].seat,
                "persona": name,
                "text": voice.text,
                "heard": tuple(f"1.{other}" for other in list(said)[:place]),
            }
        )
        for place, (name, voice) in enumerate(said.items())
    ]
    whole = Prompter(plan, record.question, {name: CARDS.get(name) for name in cast}).inner()
    ruling = first.model_copy(
        update={"id": "2.coordinator", "kind": "ruling", "text": text, "prompt_sha256": whole.sha256, "heard": ()}
    )
    return record.model_copy(update={"plan": plan, "turns": (*turns[::-1], ruling)})


def ends(ids, text):
    """Whether token ids end with a text."""
    return ids.tolist()[-len(text) :] == Letters()(text)["input_ids"]


def test_a_voice_of_an_inner_dialogue_is_held_against_one_without_names(record, cards):
    saved = dialogue(record)
    assert audible(saved, cards) == ["1.decomposer", "1.formalist", "2.coordinator"]
    told = of(saved, cards, turn="1.formalist")
    said = " Decomposer, and 13 more."
    assert len(told.tokens) == len(said)
    assert ends(told.ids, f"The Decomposer: Tens first: 30.\nThe Formalist:{said}")
    assert ends(told.plain, f"The Plain Voice: Tens first: 30.\nThe Plain Voice:{said}")
    assert told.ids[:50].equal(told.plain[:50]), "the trained prompt names nobody"
    answer = of(saved, cards, turn="2.coordinator")
    assert len(answer.tokens) == len("\nAnswer: 43")
    assert ends(answer.ids, "The Formalist: Decomposer, and 13 more.\nAnswer: 43")
    assert ends(answer.plain, "The Plain Voice: The Plain Voice, and 13 more.\nAnswer: 43")


def test_without_training_the_plain_voice_takes_the_cards_too(record, cards):
    told = of(dialogue(record, trained=False), cards, turn="1.formalist")
    cue = Letters().decode(Letters()(cards["formalist"].cue)["input_ids"])
    assert cue in Letters().decode(told.ids.tolist())
    assert cue not in Letters().decode(told.plain.tolist())


def test_what_an_inner_dialogue_does_not_hold_is_told(record, cards):
    with pytest.raises(LensError, match="no turn in which something was said"):
        of(dialogue(record), cards, turn="1.nobody")
    with pytest.raises(LensError, match="no card at hand for each of its voices"):
        of(dialogue(record), {name: card for name, card in cards.items() if name != "formalist"}, turn="1.formalist")
    with pytest.raises(LensError, match="nothing was written"):
        of(inner(record), cards)
    altered = cards | {"formalist": cards["formalist"].model_copy(update={"cue": "Be another."})}
    of(dialogue(record), altered, turn="1.formalist")  # The prompt that it was trained with tells nothing of the cards.
    with pytest.raises(LensError, match="as it was"):
        of(dialogue(record, trained=False), altered, turn="1.formalist")
    assert audible(dialogue(record, text="The Decomposer: 43"), cards) == ["1.decomposer"], "it closed with no answer"


def test_only_a_models_own_dialogues_teach_its_rules(record):
    weights = record.plan.checkpoint_sha256
    check_dialogues([inner(record)], weights)
    with pytest.raises(LensError, match="no inner dialogue, its mode is debate"):
        check_dialogues([inner(record), record], weights)
    with pytest.raises(LensError, match="under the lens"):
        check_dialogues([inner(record)], "0" * 64)
    plan = inner(record).plan
    check_dialogues([record.model_copy(update={"plan": plan.model_copy(update={"checkpoint_sha256": None})})], weights)
    with pytest.raises(LensError, match="not asked for by the prompt that models are baked with"):
        check_dialogues([record.model_copy(update={"plan": plan.model_copy(update={"trained_prompt": None})})], weights)


# The command


@pytest.fixture
def command(monkeypatch, tmp_path, record):
    """`chorus voices` on a saved debate, and an audit's folder with the vector of one persona."""
    lens, weights = Lens(planted.plant(1).model), record.plan.checkpoint_sha256
    made = SimpleNamespace(
        lens=lens, tokenizer=Letters(), weights=weights, folder=tmp_path, home=tmp_path, name="planted"
    )
    monkeypatch.setattr(subject, "Checkpoint", lambda name, report, device: made)
    (tmp_path / "debate.jsonl").write_text(jsonl.dumps(record) + "\n")
    work = tmp_path / examine.WORK
    work.mkdir()
    (work / "plan.json").write_text(json.dumps({"weights": weights}))
    (direction,) = random_like(torch.ones(planted.WIDTH), 1)
    hook = "blocks.2.hook_resid_post"
    Vector("decomposer", hook, direction, 1.0, lens.fingerprint).save(work / "decomposer.vector.json")

    def run(*words):
        told = [str(tmp_path / "debate.jsonl"), "--checkpoint", "planted", "--out", str(tmp_path / "out"), *words]
        return CliRunner().invoke(commands.voices, told, standalone_mode=False)

    return run


def test_a_saved_debate_is_heard_token_by_token(command, tmp_path):
    ran = command("--turn", TURN)
    assert ran.return_value == 0, ran.output
    assert f"{TURN}: of 13 tokens" in ran.output
    data = json.loads((tmp_path / "out" / "voices.json").read_text())
    assert list(data["turns"]) == [TURN]
    assert len(data["turns"][TURN]["weights"]["decomposer"]) == 13
    page = (tmp_path / "out" / "voices.html").read_text()
    assert page.count("<span") == 13
    assert "Who is speaking: What is 17 + 26?" in page


def test_what_can_not_be_heard_is_told(command, tmp_path):
    assert "holds no persona's circuit" in str(command("--by", "circuit").exception)
    (tmp_path / "audit" / "plan.json").write_text(json.dumps({"weights": "0" * 64}))
    assert "the audit of other weights" in str(command().exception)
    assert "no work folder of an audit" in str(command("--work", str(tmp_path)).exception)
    assert isinstance(command("--id", "nobody").exception, RecordError)
