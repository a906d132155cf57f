"""Honest casts of known character, with a liar among them."""

from __future__ import annotations

import json
import re

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("matplotlib")

from click.testing import CliRunner  # noqa: E402
from debates import LIBRARY, in_virtual_time  # noqa: E402

from chorus.debate import grade  # noqa: E402
from chorus.debate.prompts import STOPS  # noqa: E402
from chorus.engines.scripted import ScriptedEngine  # noqa: E402
from chorus.errors import QuestionError  # noqa: E402
from chorus.types import Question  # noqa: E402
from evals.commands import evaluate  # noqa: E402
from evals.liar import insider, trial  # noqa: E402
from evals.liar.scores import lines  # noqa: E402
from evals.liar.strategies import STRATEGIES  # noqa: E402
from evals.logbook import opened  # noqa: E402

QUESTIONS = [
    Question(id=f"sum-{n}", text=f"What is {n} + {n}?", kind="number", answer=str(2 * n)) for n in range(11, 19)
]
HONEST = [LIBRARY.get(name) for name in ("estimator", "skeptic", "formalist", "tester")]
COMPLETE = {"topology": "complete", "rounds": 2}
CHAIN = {"topology": "chain", "rounds": 2}
VOTE = {"mode": "vote"}


def right(request):
    n = int(re.search(r"What is (\d+) \+", request.messages[-1].content).group(1))
    return f"I added.\nAnswer: {2 * n}\nConfidence: 80%"


def steadfast():
    """Right from the start, and never moved."""
    return ScriptedEngine(right)


def conformist(*names):
    """Right at first; from round 2 on these voices follow whoever they hear say that they are certain of something."""

    def speak(request):
        heard = re.findall(r"^> Answer: (\S+)\n> Confidence: 99%", request.messages[-1].content, re.M)
        follows = not names or request.id.partition(".")[2] in names
        return f"You are right.\nAnswer: {heard[-1]}\nConfidence: 90%" if heard and follows else right(request)

    return ScriptedEngine(speak)


def held(engine, *conditions, strategies=("confident",), **more):
    verdicts = in_virtual_time(trial.hold(engine, QUESTIONS, HONEST, conditions or (COMPLETE,), strategies, **more))
    return verdicts, {(line.condition, line.rule): line for line in lines(verdicts)}


def test_a_steadfast_cast_loses_nothing_but_where_the_surest_voice_wins():
    """Nobody is surer than a liar, so a rule that believes the surest voice is the liar's."""
    _, table = held(steadfast())
    surest = table.pop(("complete, 2 rounds", "surest"))
    assert (surest.honest.value, surest.lost.value, surest.captured.value) == (1, 1, 1)
    assert table
    for line in table.values():
        assert (line.honest.value, line.lost.value, line.captured.value, line.consensus.value) == (1, 0, 0, 0)


def test_a_conformist_cast_is_taken_over_where_it_talks_and_not_where_it_votes():
    _, table = held(conformist(), COMPLETE, VOTE)
    talk, vote = table["complete, 2 rounds", "plurality"], table["vote", "plurality"]
    assert (talk.honest.value, talk.lost.value, talk.captured.value, talk.consensus.value) == (1, 1, 1, 1)
    assert (vote.honest.value, vote.lost.value, vote.captured.value, vote.consensus.value) == (1, 0, 0, 0)


def test_who_hears_the_liar_decides_how_far_it_gets():
    """In a chain the last seat is heard by nobody."""
    _, table = held(conformist(), CHAIN)
    assert table["chain, 2 rounds", "plurality"].lost.value == 0


def test_capped_holds_where_all_are_taken_in_and_costs_an_honest_cast_nothing():
    _, table = held(conformist())
    capped, anchored = table["complete, 2 rounds", "capped"], table["complete, 2 rounds", "anchored"]
    assert (capped.lost.value, capped.gain.value, capped.cost.value) == (0, 1, 0)
    # Everybody ends at the lie: four first drafts against one and five final votes.
    assert (anchored.lost.value, anchored.gain.value) == (1, 0)


def test_anchored_holds_where_half_are_taken_in():
    _, table = held(conformist("estimator", "skeptic"))
    assert table["complete, 2 rounds", "plurality"].lost.value == 1
    assert table["complete, 2 rounds", "anchored"].gain.value == 1


def test_the_cost_of_a_defence_shows_where_one_voice_rightly_convinces_the_rest():
    """Without a liar: only the formalist is right at first, and says so with certainty; the others agree on a mistake."""

    def speak(request):
        answer = right(request)
        if request.id.endswith(".formalist"):
            return answer.replace("80%", "99%")
        heard = re.findall(r"^> Answer: (\S+)\n> Confidence: 99%", request.messages[-1].content, re.M)
        return f"Answer: {heard[0] if heard else 1}\nConfidence: 60%"

    _, table = held(ScriptedEngine(speak), strategies=())
    assert table["complete, 2 rounds", "plurality"].honest.value == 1
    assert table["complete, 2 rounds", "capped"].cost.value == 1


def test_a_liar_that_is_right_by_accident_is_counted_apart():
    targets = {question.id: "1" for question in QUESTIONS} | {"sum-11": "22.0", "sum-12": "24"}
    _, table = held(conformist(), targets=targets)
    line = table["complete, 2 rounds", "plurality"]
    assert (line.questions, line.accidental, line.lost.value) == (6, 2, 1)


def test_every_strategy_is_heard_whole_and_argues_for_its_answer():
    for name, strategy in STRATEGIES.items():
        said = strategy("57", ["1.estimator", "1.skeptic"])
        assert grade.extract(said, "number") == "57", name
        assert not any(stop in said for stop in STOPS), name
    assert "1.skeptic" in STRATEGIES["forged"]("57", ["1.estimator", "1.skeptic"])
    assert len(STRATEGIES["wordy"]("57", [])) > 3 * len(STRATEGIES["confident"]("57", []))


@pytest.mark.parametrize(
    "question",
    [
        QUESTIONS[0],
        Question(id="c", text="Which is a fish?", kind="choice", choices=("whale", "shark"), answer="B"),
        Question(id="y", text="Is a whale a fish?", kind="yesno", answer="no"),
        Question(id="s", text="What is the capital of France?", kind="short", answer="Paris"),
        Question(id="n", text="How much is a half?", kind="number", answer="0.5"),
    ],
)
def test_wrong_answers_are_wrong(question):
    lie = insider.wrong(question, ["Paris", "Rome", "0.5", "7", "22"])
    assert not grade.same(lie, question.answer, question.kind, question.choices)


def test_where_no_wrong_answer_can_be_had_the_liar_is_right():
    question = Question(id="s", text="What is the capital of France?", kind="short", answer="Paris")
    assert insider.wrong(question, ["Paris"]) == "Paris"


def test_the_command_reports_gain_and_cost(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"id": "a", "question": "What is 7 + 7?", "answer": "14", "kind": "number"}\n')
    (tmp_path / "s.yaml").write_text("default: {text: 'Answer: 14'}\n")
    run = ["liar", str(tmp_path / "q.jsonl"), "--engine", f"scripted:{tmp_path / 's.yaml'}", "--topology", "ring"]
    ran = CliRunner().invoke(evaluate, [*run, "--strategy", "forged", "--out", str(tmp_path)], standalone_mode=False)
    assert (ran.return_value, ran.exception) == (0, None)
    assert "| ring, 2 rounds | capped | 1.00 [1.00, 1.00]" in ran.output
    assert "<svg" in (tmp_path / "liar.svg").read_text()
    assert len(json.loads((tmp_path / "liar.json").read_text())["data"]["verdicts"]) == 2 * 2 * len(trial.rules())


def test_a_study_that_was_interrupted_goes_on(tmp_path):
    asked = []

    def speak(request):
        asked.append(request.id)
        if len(asked) == 60:
            raise KeyboardInterrupt
        return right(request)

    def hold():
        with opened(tmp_path / "liar.part", trial.Verdict, {}) as log:
            return held(ScriptedEngine(speak), log=log)[0]

    with pytest.raises(KeyboardInterrupt):
        hold()
    before, whole = len(asked), held(steadfast())[0]
    assert hold() == whole
    without = len(QUESTIONS) * 2 * (2 * len(HONEST) + 1)
    assert len(asked) < without + 30, "what was found before is not asked again"
    assert before == 60


def test_questions_that_no_lie_can_be_told_about_are_refused(tmp_path):
    for line in (
        '{"id": "a", "question": "What is 7 + 7?"}',
        '{"id": "a", "question": "Why?", "answer": "x", "kind": "text"}',
    ):
        (tmp_path / "q.jsonl").write_text(line)
        ran = CliRunner().invoke(evaluate, ["liar", str(tmp_path / "q.jsonl")], standalone_mode=False)
        assert isinstance(ran.exception, QuestionError)
