"""Debates whose voices state their positions as JSON: what is asked, said, heard, voted on and recorded."""

from __future__ import annotations

import json

import pytest
import yaml
from command_line import Command
from debates import ESSAY, SEATS, SUM, engine, fails, hold, plan

from chorus import Chorus
from chorus.engines.base import Request
from chorus.engines.script import Reply, Script
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import ConfigError, SchemaRefused
from chorus.record import events, jsonl
from chorus.types import Plan, Question

ALONE = plan("none", SEATS[:1], rounds=1, positions="json")
GUIDED = Script(guided=True)


def position(answer: str = "56", reasoning: str = "7 times 8 is 56.", sure: int = 90) -> str:
    return json.dumps({"reasoning": reasoning, "answer": answer, "confidence": sure})


def listening(script=None, *, guided: bool = True) -> tuple[ScriptedEngine, list[Request]]:
    """An engine whose requests can be looked at afterwards."""
    seen: list[Request] = []

    def speak(request: Request) -> str | Reply:
        seen.append(request)
        return script(request) if script else position()

    return ScriptedEngine(speak, settings=Script(guided=guided)), seen


def test_a_turn_holds_words_and_its_position():
    turn = hold(engine(default=position(), guided=True), ALONE).turn("1.skeptic")
    assert turn.text == "7 times 8 is 56.\nAnswer: 56\nConfidence: 90%"
    assert (turn.position.answer, turn.position.confidence) == ("56", 0.9)


def test_the_words_are_streamed_as_they_are_recorded():
    slow = {"text": position(), "latency": {"per_token": 0.1}}
    held = hold(engine(default=slow), ALONE)
    deltas = [event.text for event in held.of(events.TurnDelta)]
    assert "".join(deltas) == held.turn("1.skeptic").text
    assert len(deltas) > 3
    assert "{" not in "".join(deltas)


def test_others_hear_the_words():
    speaker, seen = listening()
    hold(speaker, plan(positions="json"))
    second = next(request for request in seen if request.id == "2.estimator")
    assert "> 7 times 8 is 56.\n> Answer: 56" in second.messages[-1].content


def test_where_tokens_have_probabilities_those_of_the_words_count():
    sure = {"text": position(), "confidence": 0.25}
    assert hold(engine(default=sure), ALONE).turn("1.skeptic").position.confidence == pytest.approx(0.25)


def test_a_guided_engine_is_sent_the_schema_and_another_only_asked():
    for guided in (True, False):
        speaker, seen = listening(guided=guided)
        hold(speaker, ALONE)
        (request,) = seen
        assert (request.json_schema is not None) == guided
        assert '"confidence"' in request.messages[0].content + request.messages[-1].content


def test_in_text_nothing_is_guided():
    speaker, seen = listening(lambda request: "Answer: 56")
    assert hold(speaker, plan("none", SEATS[:1], rounds=1)).answer.answer == "56"
    assert seen[0].json_schema is None


@pytest.mark.parametrize(
    ("detail", "form"), [("brief", '"answer" (the letter alone)'), ("full", '"answer": "<the letter alone>"')]
)
def test_the_prompt_names_the_form_that_the_kind_of_answer_takes(detail, form):
    question = Question(text="Which?", choices=("Rome", "Paris"), kind="choice")
    speaker, seen = listening(lambda request: position("B"))
    of = ALONE.model_copy(update={"kind": "choice", "detail": detail})
    assert hold(speaker, of, question).answer.answer == "B"
    prompt = "\n".join(message.content for message in seen[0].messages)
    assert form in prompt
    assert 'End with the lines "Answer:"' not in prompt
    assert "{form}" not in prompt
    assert json.loads(seen[0].json_schema)["properties"]["answer"]["enum"] == ["A", "B"]


def test_the_judge_rules_in_json_and_the_coordinator_writes_prose():
    speaker, seen = listening()
    ruled = hold(speaker, plan("none", rounds=1, positions="json", decision="judge"))
    ruling = next(turn for turn in ruled.answer.turns if turn.kind == "ruling")
    assert ruling.text.startswith("7 times 8 is 56.\nAnswer: 56")
    assert ruled.answer.answer == "56"
    assert seen[-1].json_schema is not None

    speaker, seen = listening(lambda request: "Justice is balance." if "coordinator" in request.id else position("x"))
    written = hold(speaker, plan("none", rounds=1, positions="json", decision="synthesis", kind="text"), ESSAY)
    assert written.answer.answer == "Justice is balance."
    assert seen[-1].json_schema is None


def test_ballots_are_held_to_the_letters():
    def speak(request: Request) -> str:
        if request.id.startswith("1."):
            return position("56" if request.id.endswith("skeptic") else "54")
        return '{"ranking": ["B", "A"]}'

    speaker, seen = listening(speak)
    held = hold(speaker, plan("none", rounds=1, positions="json", decision="borda"))
    ballots = [turn for turn in held.answer.turns if turn.kind == "ballot"]
    assert {turn.position.ranking for turn in ballots} == {("56", "54")}
    assert held.answer.answer == "56"
    items = json.loads(seen[-1].json_schema)["properties"]["ranking"]["items"]
    assert items == {"enum": ["A", "B"]}
    assert '{"ranking": ["B", "A", "C"]}' in seen[-1].messages[-1].content


@pytest.mark.parametrize(
    ("detail", "fields", "room"), [("full", ["reasoning", "answer"], 64), ("brief", ["answer"], 24)]
)
def test_checks_are_held_to_yes_or_no(detail, fields, room):
    def speak(request: Request) -> Reply:
        if request.id.startswith("1."):
            return Reply(text=position("56" if request.id.endswith("skeptic") else "54"))
        asked = request.messages[-1].content
        right = "yes" if asked.endswith("> 56") or "answer: 56." in asked else "no"
        return Reply(text=json.dumps({"answer": right}), confidence=0.75)

    speaker, seen = listening(speak)
    held = hold(speaker, plan("none", rounds=1, positions="json", decision="checked", detail=detail))
    checks = [turn for turn in held.answer.turns if turn.kind == "check"]
    assert {turn.text for turn in checks} == {"Answer: yes", "Answer: no"}
    assert {(turn.position.answer, turn.position.confidence) for turn in checks} == {("54", 0.25), ("56", 0.75)}
    assert held.answer.answer == "56"
    schema = json.loads(seen[-1].json_schema)
    assert list(schema["properties"]) == schema["required"] == fields
    assert schema["properties"]["answer"]["enum"] == ["yes", "no"]
    assert seen[-1].sampling.max_tokens == room


def test_text_that_was_to_be_json_is_graded_as_text_and_the_record_says_so():
    held = hold(engine(default="I say 7 * 8.\nAnswer: 56"), ALONE)
    assert held.turn("1.skeptic").text == "I say 7 * 8.\nAnswer: 56"
    assert held.answer.answer == "56"
    assert held.answer.notes == ("1.skeptic wrote no JSON that could be read: its answer was sought in its words",)


@pytest.mark.parametrize("kind", ["number", "expression", "choice"])
def test_a_form_that_is_copied_is_no_answer(kind):
    copied = '{"reasoning": "<why>", "answer": "<the number alone>", "confidence": 0}'
    held = hold(engine(default=copied), ALONE.model_copy(update={"kind": kind}))
    assert held.turn("1.skeptic").position is None


def test_json_that_was_cut_off_keeps_its_reasoning_and_the_record_says_so():
    long = position(reasoning="So 7 * 8 = 56. " + "Let me check it again. " * 30)
    held = hold(engine(default=long), ALONE.model_copy(update={"max_tokens": 12}))
    turn = held.turn("1.skeptic")
    assert turn.text.startswith("So 7 * 8 = 56. ")
    assert (turn.position.answer, turn.finish) == ("56", "length")
    assert held.answer.notes == ("1.skeptic ended its JSON before its answer: its answer was sought in its words",)


def test_the_words_of_a_failed_attempt_are_void():
    once = {**fails(times=1, retryable=True, after_tokens=4), "text": position(), "latency": {"per_token": 0.1}}
    held = hold(engine(default=once), ALONE)
    turn = held.turn("1.skeptic")
    assert turn.text.startswith("7 times 8 is 56.\nAnswer: 56")
    retried = next(place for place, event in enumerate(held.events) if isinstance(event, events.TurnRetried))
    after = [event.text for event in held.events[retried:] if isinstance(event, events.TurnDelta)]
    assert "".join(after) == turn.text


def test_a_failed_turn_keeps_the_words_that_had_been_said():
    cut = {**fails("the stream ended", after_tokens=4), "text": position(), "latency": {"per_token": 0.1}}
    turn = hold(engine(default=cut), ALONE).turn("1.skeptic")
    assert turn.status == "failed"
    assert turn.text
    assert "7 times 8 is 56.".startswith(turn.text)


def test_an_engine_that_refuses_the_schema_is_asked_without_and_asked_once():
    def speak(request: Request) -> str:
        if request.json_schema is not None:
            raise SchemaRefused("no grammar for \ud800 patterns")
        return position()

    speaker, _ = listening(speak)
    held = hold(speaker, plan("chain", positions="json", rounds=2))
    assert held.answer.answer == "56"
    assert held.answer.notes == ("positions were not guided: no grammar for \ufffd patterns",)
    assert [turn.usage.calls for turn in held.answer.turns].count(2) == 1


def test_a_refusal_without_a_schema_fails_the_turn():
    def speak(request: Request) -> str:
        raise SchemaRefused("no grammar at all")

    turn = hold(ScriptedEngine(speak), ALONE).turn("1.skeptic")
    assert (turn.status, turn.reason) == ("failed", "no grammar at all")


def test_the_record_says_how_positions_were_stated_and_old_records_load():
    answer = hold(engine(default=position()), ALONE).answer
    assert answer.plan.positions == "json"
    assert jsonl.loads(jsonl.dumps(answer)) == answer
    old = answer.plan.model_dump()
    del old["positions"]
    assert Plan.model_validate(old).positions == "text"


def test_the_setting_reaches_the_plan():
    speaker, seen = listening()
    with Chorus(engine=speaker, personas="skeptic", mode="solo", positions="json") as chorus:
        answer = chorus.ask(SUM)
    assert (answer.plan.positions, answer.answer) == ("json", "56")
    assert seen[0].json_schema is not None


def test_the_command_takes_it_as_an_option(tmp_path, monkeypatch, capsys):
    command = Command(tmp_path, monkeypatch, capsys)
    (tmp_path / "script.yaml").write_text(yaml.safe_dump({"default": {"text": position()}, "guided": True}))
    asked = command("ask", "What is 7 * 8?", "--engine", "scripted:script.yaml", "--positions", "json", "--json")
    record = json.loads(asked.out)
    assert (asked.code, record["answer"], record["plan"]["positions"]) == (0, "56", "json")
    assert record["turns"][0]["text"].startswith("7 times 8 is 56.\nAnswer: 56")
    assert command("ask", "What is 7 * 8?", "--positions", "prose").code == 2


def test_an_inner_chorus_writes_no_json():
    speaker, _ = listening()
    with (
        Chorus(engine=speaker, mode="inner", positions="json") as chorus,
        pytest.raises(ConfigError, match="positions"),
    ):
        chorus.ask(SUM)
