"""The report: its words follow from its tests, and it is made from a results file by one command."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

pytest.importorskip("matplotlib", reason="needs the `evals` extra")
pytest.importorskip("sklearn", reason="needs the `evals` extra")

from synthetic import of, outcomes

from chorus.debate import calibration
from chorus.errors import RecordError
from evals import commands, compare, findings, resample, verdict
from evals import outcomes as files

TASKS = ("sums", "products")
FIVE = ("skeptic", "estimator", "formalist", "tester", "decomposer")


def verdicts(ours, theirs) -> str:
    systems = {"chorus": ours, "vote": theirs}
    points = {name: resample.point(rows) for name, rows in systems.items()}
    made, _ = compare.against(systems, "vote")
    return "\n".join(line for one in made for line in findings.compared(one, points))


def flags(right: int, n: int) -> list[bool]:
    return [number < right for number in range(n)]


@pytest.mark.parametrize(
    ("ours", "theirs", "n", "said"),
    [
        (60, 30, 80, "**chorus is above vote** in the paired mean, by +37.5 points ["),
        (30, 60, 80, "**chorus is below vote** in the paired mean, by -37.5 points ["),
        (41, 40, 80, "**chorus and vote: no difference that 80 questions could show**"),
        (3, 0, 5, "So few questions could not have shown any."),
    ],
)
def test_the_words_follow_from_the_test(ours, theirs, n, said):
    assert said in verdicts(of(flags(ours, n), "chorus"), of(flags(theirs, n), "vote"))


def test_the_cost_is_said_beside():
    ours = of(flags(60, 80), "chorus", prompt_tokens=290)
    assert "at 3 times its computed tokens (300 and 100 computed tokens a question)" in verdicts(
        ours, of(flags(30, 80), "vote")
    )
    assert "at equal cost" in verdicts(of(flags(60, 80), "chorus"), of(flags(30, 80), "vote"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    rows = outcomes("self-consistency@5", right=0.45, cast=("plain",) * 5, tasks=TASKS, questions=24)
    rows += outcomes("chorus", right=0.6, rounds=2, yielding=0.5, cast=FIVE, tasks=TASKS, questions=24, spread=0.2)
    rows += outcomes("mixture", tasks=TASKS, questions=12)
    path = tmp_path_factory.mktemp("results") / "results.jsonl"
    files.write(rows, path)
    return path


def run(*arguments):
    return CliRunner().invoke(commands.evaluate, [str(one) for one in arguments], catch_exceptions=False)


@pytest.mark.timeout(240)  # seconds of work, minutes on a machine that others share
def test_a_report_is_made_of_a_results_file(results, tmp_path):
    ran = run("report", results, "--out", tmp_path / "deep")
    assert ran.output.strip() == str(tmp_path / "deep" / "report.md")
    told = (tmp_path / "deep" / "report.md").read_text("utf-8")
    assert "## Compared with self-consistency@5" in told
    assert "mixture is not compared: 'mixture' and 'self-consistency@5' answered different questions" in told
    assert "resampled" in told
    assert "nan" not in told.split("## Knowing")[0]
    for name in ("accuracy", "cost", "risk"):
        drawn = (tmp_path / "deep" / f"{name}.svg").read_text("utf-8")
        assert f"({name}.svg)" in told
        assert ">chorus<" in drawn
        assert "mixture" not in drawn, "it has no place on one axis with systems on other questions"
    assert "votes of 1 … 5 drafts (resampled)" in (tmp_path / "deep" / "cost.svg").read_text("utf-8")


@pytest.mark.timeout(240)  # seconds of work, minutes on a machine that others share
def test_a_budget_cuts_the_references_votes(results, tmp_path):
    run("report", results, "--out", tmp_path, "--budget", 100)
    told = (tmp_path / "report.md").read_text("utf-8")
    assert "## Compared with self-consistency@5 · within 100 tokens, resampled" in told


def test_an_unknown_reference_is_refused(results, tmp_path):
    with pytest.raises(RecordError, match="no system 'vote' to compare with; there are self-consistency@5, chorus"):
        verdict.write(list(files.read(results)), tmp_path, against="vote")
    with pytest.raises(RecordError, match="no outcomes"):
        verdict.write([], tmp_path)


def test_a_calibration_is_fitted_of_a_results_file(results, tmp_path):
    ran = run("calibrate", results, "--system", "chorus", "--out", tmp_path / "calibration.json")
    assert "questions held out, Brier" in ran.output
    read = calibration.load(tmp_path / "calibration.json")
    assert read.fitted.command == f"chorus eval calibrate {results} --system chorus"
    assert json.loads((tmp_path / "calibration.json").read_text())["schema"] == 1


def test_a_vote_that_ended_early_heard_nobody_and_is_not_held_against_its_own_drafts():
    talk, vote = outcomes("talk", rounds=2, yielding=1.0, questions=20), outcomes("vote", questions=20)
    early = [
        one.model_copy(update={"drafts": (*one.drafts[:2], one.drafts[2].model_copy(update={"status": "cancelled"}))})
        for one in vote
    ]
    assert list(findings.undecided("talk", talk))
    assert not list(findings.undecided("vote", early))
