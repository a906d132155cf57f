"""Curves through points that were made by a known curve, and points that no curve should be read from."""

from __future__ import annotations

import json
import math

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from click.testing import CliRunner  # noqa: E402

from chorus.errors import ConfigError, RecordError  # noqa: E402
from evals import outcomes  # noqa: E402
from evals.commands import evaluate  # noqa: E402
from evals.outcomes import Draft, Outcome  # noqa: E402
from evals.scaling import points  # noqa: E402
from evals.scaling.curves import LAWS, NoFit, Point, fit  # noqa: E402
from evals.scaling.points import Measured  # noqa: E402
from evals.scaling.study import best, studies, study  # noqa: E402

POWER, LOGISTIC = LAWS["power"], LAWS["logistic"]
SCALES = (1, 2, 4, 8, 16, 32, 64)


def drawn(law, values, seed, *, of=1000, scales=SCALES, floor=0.0):
    """Points that this curve might have given."""
    rng = np.random.default_rng(seed)
    truth = law.at(np.array(scales, float), np.array(values), floor, (min(scales), max(scales)))
    return [Point(float(x), float(rng.binomial(of, p)), of) for x, p in zip(scales, truth, strict=True)]


def exactly(law, values, *, scales=SCALES, floor=0.0, of=400):
    truth = law.at(np.array(scales, float), np.array(values), floor, (min(scales), max(scales)))
    return [Point(float(x), float(p) * of, of) for x, p in zip(scales, truth, strict=True)]


@pytest.mark.parametrize(("start", "top", "exponent"), [(0.3, 0.9, 0.7), (0.2, 0.6, 1.5), (0.9, 0.5, 1.0)])
def test_a_power_law_comes_back(start, top, exponent):
    """Rising or falling: the last one is a chorus that talks itself out of its answers."""
    found = fit(exactly(POWER, (start, top, exponent)), POWER)
    assert found.parameters == pytest.approx({"start": start, "top": top, "exponent": exponent}, rel=1e-3)


def test_a_logistic_comes_back_above_its_floor():
    found = fit(exactly(LOGISTIC, (0.9, math.log(8), 1.5), floor=0.25), LOGISTIC, floor=0.25)
    assert found.parameters == pytest.approx({"top": 0.9, "middle": 8.0, "slope": 1.5}, rel=1e-3)


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say():
    inside = 0
    for seed in range(8):
        found = study(Measured(tuple(drawn(POWER, (0.3, 0.9, 0.7), seed))), POWER, seed=seed, draws=40)
        low, high = found.intervals["exponent"]
        assert 0 < high - low < 0.6
        inside += low <= 0.7 <= high
    # Eight or nine in ten of 40 draws' intervals: fewer than 5 of 8 happens once in 400.
    assert inside >= 5


def test_one_odd_point_doesnt_bend_the_curve():
    whole = exactly(POWER, (0.3, 0.9, 0.7))
    odd = [*whole[:3], Point(8.0, 0.3 * 400, 400), *whole[4:]]
    assert fit(odd, POWER).parameters["exponent"] == pytest.approx(0.7, abs=0.15)


def test_the_curve_that_was_drawn_is_the_one_chosen():
    values = (0.95, math.log(20), 3.0)
    measured = Measured(tuple(exactly(LOGISTIC, values, of=2000)))
    assert best(studies(measured, draws=20)).law is LOGISTIC


def test_the_largest_scale_is_foretold_by_the_right_law_and_missed_by_a_kink():
    smooth = exactly(POWER, (0.3, 0.9, 0.7))
    assert study(Measured(tuple(smooth)), POWER, draws=40).foretold.inside
    kinked = [*smooth[:-1], Point(64.0, 0.4 * 400, 400)]
    assert not study(Measured(tuple(kinked)), POWER, draws=40).foretold.inside


@pytest.mark.parametrize(
    ("scales", "reason"),
    [((1, 2, 4, 8), "4 different scales are too few"), ((10, 11, 12, 13, 14, 15), "span a factor of 1.5")],
)
def test_no_exponent_from_too_little(scales, reason):
    with pytest.raises(NoFit, match=reason):
        fit(exactly(POWER, (0.3, 0.9, 0.7), scales=scales), POWER)


def test_no_exponent_from_a_flat_line():
    refused = [
        study(Measured(tuple(drawn(POWER, (0.5, 0.5, 1.0), seed, of=100))), POWER, draws=20) for seed in range(6)
    ]
    # A flat truth is taken for a curve one time in twenty.
    assert sum(one.fit is None for one in refused) >= 4
    assert "can't be told from a constant" in str([one.refused for one in refused])


def test_no_exponent_that_nothing_holds():
    """All of the rise lies before the second scale: any steep exponent does."""
    jump = [Point(float(x), 40.0 if x == 1 else 360.0, 400) for x in SCALES]
    with pytest.raises(NoFit, match="the exponent runs to the end of its range"):
        fit(jump, POWER)


def test_a_fit_that_does_not_converge_gives_no_number():
    with pytest.raises(NoFit, match="did not converge"):
        fit(exactly(POWER, (0.3, 0.9, 0.7)), POWER, evaluations=1)


# ---- results files ---------------------------------------------------------------------------------------------------


def outcome(system, question, right, seats=3, rounds=2, seed=0, tokens=100):
    drafts = tuple(
        Draft(turn=f"{r}.s{s}", round=r, seat=f"s{s}", persona="skeptic")
        for r in range(1, rounds + 1)
        for s in range(seats)
    )
    return Outcome(
        system=system,
        task="sums",
        split="test",
        question=question,
        seed=seed,
        status="done",
        answers=("1",),
        gold="1",
        right=0 if right else None,
        side=0,
        calls=len(drafts),
        prompt_tokens=tokens,
        cached_tokens=tokens // 2,
        completion_tokens=tokens,
        wall_s=1.0,
        drafts=drafts,
    )  # fmt: skip


def saved(tmp_path, rows):
    outcomes.write(rows, tmp_path / "results.jsonl")
    return tmp_path / "results.jsonl"


def test_a_system_is_a_point_on_the_questions_that_all_were_asked(tmp_path):
    rows = [outcome(f"of{n}", f"q{i}", i < n, seats=n, tokens=100 * n) for n in (1, 2, 4) for i in range(4)]
    path = saved(tmp_path, [*rows, outcome("of4", "only-here", False, seats=4)])
    assert [(p.x, p.right, p.of) for p in points.read(path, "personas").points] == [(1, 1, 4), (2, 2, 4), (4, 4, 4)]
    assert [p.x for p in points.read(path, "tokens").points] == [150, 300, 600]
    assert [p.x for p in points.read(path, "rounds", systems="of[24]").points] == [2, 2]
    sized = points.read(path, "size", sizes={"of1": 135e6, "of2": 360e6, "of4": 1.7e9})
    assert [p.x for p in sized.points] == [135e6, 360e6, 1.7e9]


def test_seeds_of_a_question_count_as_one_answer(tmp_path):
    path = saved(tmp_path, [outcome("a", "q", seed == 0, seed=seed) for seed in range(4)])
    assert points.read(path, "personas").points[0] == Point(3.0, 0.25, 1, "a")


def test_questions_are_drawn_again_as_a_whole(tmp_path):
    """Two systems right on the same questions stay level in every draw."""
    path = saved(tmp_path, [outcome(s, f"q{i}", i % 2, seats=n) for s, n in (("a", 1), ("b", 2)) for i in range(10)])
    measured, rng = points.read(path, "personas"), np.random.default_rng(0)
    draws = [measured.again(rng) for _ in range(20)]
    assert all(a.right == b.right for a, b in draws)
    assert len({a.right for a, _ in draws}) > 1


def test_what_cant_be_compared_is_refused(tmp_path):
    path = saved(tmp_path, [outcome("a", "q1", True), outcome("b", "q2", True)])
    with pytest.raises(ConfigError, match="no question that every system was asked"):
        points.read(path, "personas")
    with pytest.raises(ConfigError, match="--size a=N"):
        points.read(path, "size", systems="a")
    with pytest.raises(ConfigError, match="no outcome of a system like 'c'"):
        points.read(path, "personas", systems="c")


def test_the_drafts_of_one_system_are_votes_of_any_size(tmp_path):
    """Three drafts of which one is right: a vote of one is right a third of the time, the others never."""
    drafted = outcome("vote", "q", False).model_copy(
        update={
            "answers": ("5", "6"),
            "right": 0,
            "side": 1,
            "drafts": tuple(
                Draft(turn=f"1.s{at}", round=1, seat=f"s{at}", persona="p", side=side, confidence=0.5)
                for at, side in enumerate((0, 1, 1))
            ),
        }
    )
    path = saved(tmp_path, [drafted])
    found = points.read(path, "personas", drafts=True).points
    assert [(p.x, p.name) for p in found] == [(k, f"vote · {k} of its drafts, plain, resampled") for k in (1, 2, 3)]
    assert (found[0].right, found[2].right) == (pytest.approx(1 / 3), 0)
    with pytest.raises(ConfigError, match="one system's drafts: w is there too"):
        points.read(saved(tmp_path, [drafted, outcome("w", "q", True)]), "personas", drafts=True)


@pytest.mark.parametrize(
    ("line", "fault"),
    [('{"x": 0, "right": 1, "of": 2}', "row 2: x"), ('{"x": 2, "right": 3, "of": 2}', "row 2: 3 right answers of 2")],
)
def test_faulty_rows_are_named(tmp_path, line, fault):
    path = tmp_path / "own.jsonl"
    path.write_text('{"x": 1, "right": 1, "of": 2}\n' + line)
    with pytest.raises(RecordError, match=fault):
        points.read(path, "personas")


def test_the_command_fits_a_users_own_file(tmp_path):
    rows = [{"x": p.x, "right": p.right, "of": p.of} for p in exactly(POWER, (0.3, 0.9, 0.7))]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ran = CliRunner().invoke(
        evaluate,
        ["scaling", str(tmp_path / "own.jsonl"), "--draws", "20", "--out", str(tmp_path)],
        standalone_mode=False,
    )
    assert (ran.return_value, ran.exception) == (0, None)
    assert "exponent 0.7" in ran.output
    fits = json.loads((tmp_path / "scaling.json").read_text())["data"]["fits"]
    assert fits[0]["parameters"]["exponent"] == pytest.approx(0.7, abs=0.01)
    assert "<svg" in (tmp_path / "scaling.svg").read_text()


def test_the_command_gives_no_number_where_there_is_none(tmp_path):
    (tmp_path / "own.jsonl").write_text('{"x": 1, "right": 1, "of": 2}\n{"x": 9, "right": 2, "of": 2}')
    ran = CliRunner().invoke(
        evaluate, ["scaling", str(tmp_path / "own.jsonl"), "--out", str(tmp_path)], standalone_mode=False
    )
    assert ran.return_value == 3
    assert "2 different scales are too few" in ran.output
    assert json.loads((tmp_path / "scaling.json").read_text())["data"]["fits"][0]["parameters"] is None
