"""Respondents whose way of believing is known, recovered by the scores."""

from __future__ import annotations

import json

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("matplotlib")

from debates import in_virtual_time  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from respondents import respondent  # noqa: E402

from chorus.engines.scripted import ScriptedEngine  # noqa: E402
from evals.beliefs import interview, study  # noqa: E402
from evals.beliefs.problems import ARMS, KINDS, expit, logit, make  # noqa: E402
from evals.beliefs.scores import SCORES, gather  # noqa: E402
from evals.beliefs.stated import probability  # noqa: E402

PROBLEMS = make(18, seed=3)
ASKED = sorted(((problem.ask(arm), problem, arm) for problem in PROBLEMS for arm in ARMS), key=lambda one: -len(one[0]))
"""The longest first: what is asked before evidence begins what is asked after it."""


def put(prompt):
    """Which problem a prompt puts, and in which arm."""
    return next((problem, arm) for text, problem, arm in ASKED if text in prompt)


def believer(belief):
    """An engine whose every voice states this belief, and gives the options its probabilities."""

    def choose(prompt, options, request):
        problem, arm = put(prompt)
        p = belief(problem, arm)
        if not options:
            return f"I think so.\nAnswer: {100 * p:.4f}%"
        true = problem.hypothesis.lower()
        return {option: p if option.lower().rstrip(".") == true else 1 - p for option in options}

    return respondent(choose)


def bayesian(problem, arm):
    return problem.target(arm)


def parrot(problem, arm):
    return problem.prior


def conformist(problem, arm):
    """Goes with whoever claims something, reasons or none; of its own it sees nothing in evidence."""
    claimed = 0.95 if problem.weight > 0 else 0.05
    return claimed if arm in ("grounded", "pressed") else problem.prior


def timid(problem, arm):
    return expit(logit(problem.prior) + 0.5 * (logit(problem.target(arm)) - logit(problem.prior)))


def believes_the_last(problem, arm):
    """Only the newest piece of evidence counts."""
    last = {"after": problem.evidence[-1], "reversed": problem.evidence[0]}.get(arm)
    return problem.prior if last is None else 0.9 if last.given > last.otherwise else 0.1


def found(belief, system="single"):
    """Every score of a respondent, stated and by options."""
    engine = believer(belief)
    beliefs = in_virtual_time(study.hold(engine, PROBLEMS, {system: interview.SYSTEMS[system]}))
    tables = {}
    for part in study.parts(beliefs):
        held = gather(PROBLEMS, part)
        tables[part[0].voice, part[0].reading] = {name: score(held) for name, score in SCORES.items()}
    return tables


@pytest.mark.parametrize("system", ["single", "self-consistency", "chorus"])
def test_a_perfect_bayesian_is_found_perfect(system):
    for table in found(bayesian, system).values():
        assert table["distance before"] == pytest.approx(0, abs=1e-5)
        assert table["distance after"] == pytest.approx(0, abs=1e-5)
        assert table["right direction"] == 1
        assert table["reaction to evidence"] == pytest.approx(1, abs=1e-3)
        assert table["order effect"] == pytest.approx(0, abs=1e-5)
        assert table["reaction to grounded voices"] == pytest.approx(1, abs=1e-3)
        assert table["reaction to mere pressure"] == pytest.approx(0, abs=1e-3)
        assert table["what grounds add"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("reading", [("all", "stated"), ("plain", "options")])
def test_a_parrot_never_moves(reading):
    table = found(parrot)[reading]
    assert table["distance before"] == pytest.approx(0, abs=1e-5)
    assert table["distance after"] > 0.15
    assert table["right direction"] == 0
    assert table["reaction to evidence"] == pytest.approx(0, abs=1e-4)
    assert table["what grounds add"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("reading", [("all", "stated"), ("plain", "options")])
def test_a_conformist_is_moved_by_pressure_and_not_by_evidence(reading):
    table = found(conformist)[reading]
    assert table["reaction to evidence"] == pytest.approx(0, abs=1e-4)
    assert table["reaction to mere pressure"] > 0.8
    assert table["reaction to grounded voices"] == table["reaction to mere pressure"]
    assert table["what grounds add"] == pytest.approx(0, abs=1e-9)


def test_half_an_update_is_under_reaction():
    assert found(timid)["all", "stated"]["reaction to evidence"] == pytest.approx(0.5, abs=0.02)


def test_the_last_word_shows_as_an_order_effect():
    assert found(believes_the_last)["all", "stated"]["order effect"] > 0.3


def test_every_voice_is_told_apart():
    voices = {voice for voice, reading in found(bayesian, "chorus") if reading == "stated"}
    assert voices == {"all", "estimator", "skeptic", "formalist", "tester", "decomposer"}


def test_what_cant_be_read_is_counted():
    replies = {"before": "I can't know.", "after": "Answer: 170%", "reversed": "Answer: -3%"}
    engine = ScriptedEngine(lambda request: replies.get(put(request.messages[-1].content)[1], "Answer: 50%"))
    beliefs = in_virtual_time(interview.state(engine, "single", interview.SYSTEMS["single"], PROBLEMS))
    whole = [one for one in beliefs if one.voice == "all"]
    faults = {arm: {one.fault for one in whole if one.arm == arm} for arm in ARMS}
    assert faults == {
        "before": {"unparsed"},
        "after": {"outside"},
        "reversed": {"outside"},
        "grounded": {None},
        "pressed": {None},
    }
    scores = {name: score(gather(PROBLEMS, whole)) for name, score in SCORES.items()}
    assert (scores["distance before"], scores["right direction"], scores["what grounds add"]) == (None, None, None)


def test_an_engine_without_probabilities_has_no_options_to_read():
    engine = ScriptedEngine(lambda request: "A")
    beliefs = in_virtual_time(
        interview.read_options(engine, "single", interview.cast(interview.SYSTEMS["single"]), PROBLEMS[:2])
    )
    assert {one.p for one in beliefs} == {None}


def test_the_report_holds_every_belief(tmp_path):
    systems = {"chorus": interview.SYSTEMS["chorus"]}
    beliefs = in_virtual_time(study.hold(believer(bayesian), PROBLEMS[:3], systems))
    path = study.write(PROBLEMS[:3], beliefs, tmp_path, command="chorus eval beliefs", seed=0)
    assert "| chorus | all | stated | 0 | 0 | 0.00 [0.00, 0.00]" in path.read_text()
    assert "reaction to mere pressure" in (tmp_path / "beliefs.svg").read_text()
    assert len(json.loads((tmp_path / "beliefs.json").read_text())["data"]["beliefs"]) == len(beliefs)


# ---- the problems ----------------------------------------------------------------------------------------------------


def test_posteriors_are_those_of_bayes_rule():
    """By enumeration: the joint probability of hypothesis and evidence over that of the evidence."""
    for problem in make(60, seed=1):
        with_ = problem.prior * np.prod([piece.given for piece in problem.evidence])
        without = (1 - problem.prior) * np.prod([piece.otherwise for piece in problem.evidence])
        assert problem.posterior == pytest.approx(with_ / (with_ + without))
        assert problem.weight != 0


def test_the_same_seed_makes_the_same_problems_and_every_kind():
    assert make(12, seed=5) == make(12, seed=5) != make(12, seed=6)
    assert {problem.kind for problem in make(12)} == set(KINDS)


def test_the_first_piece_misleads_where_it_should():
    for problem in make(10, seed=2, kinds=("misleading",)):
        first = problem.evidence[0]
        assert (first.given > first.otherwise) != (problem.weight > 0)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Answer: 70%", 0.7),
        ("Answer: 70", 0.7),
        ("The probability is 0.25.", 0.25),
        ("3/4", 0.75),
        ("it happens 1 in 4 times", 0.25),
        ("Urn A has 3 balls. Answer: **62.5 percent**", 0.625),
        ("100%", 1.0),
        ("Answer: 0", 0.0),
        ("5/0", "outside"),
        ("Answer: 170%", "outside"),
        ("-0.2", "outside"),
        ("no idea", "unparsed"),
        ("", "unparsed"),
    ],
)
def test_probabilities_are_read(text, read):
    assert probability(text) == read


@given(st.text())
def test_any_text_gives_a_probability_or_a_fault(text):
    found = probability(text)
    assert found in ("unparsed", "outside") or 0 <= found <= 1
