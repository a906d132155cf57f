"""A baked checkpoint is asked by the prompts that it was trained on, unless something else is asked for."""

from __future__ import annotations

import json

import pytest

from chorus import CheckpointError, Chorus
from chorus.checkpoints import baked
from chorus.checkpoints.baked import Baked
from chorus.distill import styles
from chorus.engines.scripted import ScriptedEngine
from chorus.types import Message, Question
from personas import Library

CAST = tuple(Library.builtin().select("skeptic,estimator"))
ASKING = Baked(prompts=styles.PROMPTS, cast=CAST, rounds=1, detail="brief")
WHICH = Question(
    text="Which is larger?", choices=("3/4", "2/3"), history=(Message(role="user", content="Hello <|im_end|>"),)
)
DIALOGUE = "The Skeptic: It is B.\nThe Estimator: It is A.\nAnswer: A"


def asked(question=WHICH, *, reply=DIALOGUE, played=ASKING, **settings):
    """What a model was asked, and what came of it."""
    heard = []

    def speak(request):
        heard.append(request.messages)
        return reply

    with Chorus(ScriptedEngine(speak, played=played), **settings) as chorus:
        return heard, chorus.ask(question)


@pytest.mark.parametrize(("mode", "style"), [("solo", "answer"), ("inner", "chorus")])
def test_it_is_asked_in_the_words_that_it_was_trained_on(mode, style):
    heard, answer = asked(mode=mode)
    assert heard == [styles.messages(WHICH.model_copy(update={"choices": ("3/4", "2/3")}), style)]
    assert heard[0][0].content == styles.PROMPTS[style]
    assert answer.answer == "A"
    assert (answer.plan.routed_by, answer.plan.trained_prompt) == ("baked", styles.PROMPTS[style])


def test_its_inner_voices_are_those_that_were_baked_in():
    _, answer = asked(mode="inner")
    said = [(turn.persona, turn.position.answer) for turn in answer.turns if turn.kind == "speech"]
    assert said == [("skeptic", "B"), ("estimator", "A")]
    assert answer.plan.rounds == 1


def test_no_card_heats_it_up_that_it_does_not_read():
    hot = ASKING.model_copy(update={"cast": Library.builtin().select("contrarian,skeptic")})
    _, answer = asked(mode="inner", played=hot, reply="The Contrarian: It is A.\nAnswer: A")
    assert {seat.temperature for seat in answer.plan.seats} == {0.0}


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "inner", "personas": "skeptic,estimator"},
        {"mode": "solo", "personas": "plain"},
        {"mode": "solo", "positions": "json"},
        {"mode": "vote"},
        {"mode": "debate"},
    ],
)
def test_what_it_was_not_trained_on_it_is_asked_as_any_model_is(settings):
    heard, answer = asked(**settings)
    anybody, _ = asked(**settings, played=None)
    assert heard == anybody
    assert answer.plan.trained_prompt is None


@pytest.mark.parametrize("card", [None, {}, {"step": "sft", "metrics": {}}, []])
def test_a_folder_without_the_card_of_an_export_holds_no_baked_checkpoint(tmp_path, card):
    if card is not None:
        (tmp_path / baked.RUN_CARD).write_text(json.dumps(card))
    assert baked.read(tmp_path) is None


def test_a_card_is_read_as_it_was_written(tmp_path):
    (tmp_path / baked.RUN_CARD).write_text(json.dumps(ASKING.model_dump(mode="json") | {"step": "export"}))
    assert baked.read(tmp_path) == ASKING


@pytest.mark.parametrize("text", ["{", '{"prompts": {"answer": "x"}}', '{"prompts": 1, "cast": [], "rounds": 1}'])
def test_a_card_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / baked.RUN_CARD).write_text(text)
    with pytest.raises(CheckpointError, match=r"can't read from .*run\.json"):
        baked.read(tmp_path)
