"""A baked checkpoint beside the chorus and its controls: found by their cards, asked as trained, one table, resumable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai")
pytest.importorskip("scipy")

from command_line import Command
from inspect_alone import without_other_plugins

from chorus import checkpoints
from chorus.distill import recipe
from chorus.distill.questions import tasks_of, to_train_on
from chorus.errors import ConfigError, QuestionError
from chorus.report import hardware
from evals import plots, run, samples
from evals.baked import arms, cost, reading, report, study, systems, table
from evals.baked.reading import Loss
from evals.baked.systems import BASE, CHORUS, DRAWN, ELSEWHERE, INNER, Asking
from personas import Library

pytestmark = [
    pytest.mark.timeout(600),
    # Inspect's own: it retries by an old name, and leaves what it opened to the garbage collector.
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:(?i)unclosed:ResourceWarning"),
]

ONE, MANY = "IN ONE VOICE", "AS A CHORUS"
SFT = {"mix": {"plain": 1, "compressed": 1}, "shuffle_names": False}
BAKED = {
    "sft": {"config": SFT},
    "rl": {
        "config": {"styles": ["answer"], "max_tokens": 24, "rewards": {"correct": 1.0, "brief": 0.1}},
        "metrics": {"rollout_tokens": 5000},
    },
}
PLAIN = {
    "rl": {
        "config": {"styles": ["answer"], "max_tokens": 24, "rewards": {"correct": 1.0, "brief": 0.0}},
        "metrics": {"rollout_tokens": 9000},
    }
}

# A base that knows 1 + 1 alone, a checkpoint that knows three in one voice and two as a chorus.
BASE_SCRIPT = """
turns: [{contains: "is 1 [+] 1", text: "Answer: 2", confidence: 0.9}]
default: {text: "Answer: 0", confidence: 0.5}
"""
BAKED_SCRIPT = """
turns:
  - {contains: "(?s)IN ONE VOICE.*is 1 [+] 1", text: "Answer: 2", confidence: 0.9}
  - {contains: "(?s)IN ONE VOICE.*is 2 [+] 2", text: "Answer: 4", confidence: 0.9}
  - {contains: "(?s)IN ONE VOICE.*is 3 [+] 3", text: "Answer: 6", confidence: 0.9}
  - {contains: "(?s)AS A CHORUS.*is 1 [+] 1", text: "Answer: 2", confidence: 0.9}
  - {contains: "(?s)AS A CHORUS.*is 2 [+] 2", text: "The Skeptic: 5.\\nThe Estimator: 4.\\nAnswer: 4", confidence: 0.9}
default: {text: "Answer: 0", confidence: 0.5}
"""


def export(folder, arm, made_by, script=BAKED_SCRIPT, **changes):
    """Write what an export leaves, with a script in the place of weights."""
    folder.mkdir(parents=True)
    step = {"seconds": 100.0, "hardware": "a machine", "metrics": {}, "config": {}}
    collect = {
        "config": {"chorus": {"personas": "skeptic,estimator", "max_tokens": 32, "rounds": 2, "engine": "none:here"}},
        "metrics": {"prompt_tokens": 900, "cached_tokens": 100, "completion_tokens": 200},
    }
    cards = Library.builtin().select("skeptic,estimator")
    card = {
        "schema": 1,
        "step": "export",
        "status": "done",
        "recipe": "small",
        "arm": arm,
        "model": "tiny",
        "tasks": ["sums"],
        "prompts": {"answer": ONE, "chorus": MANY},
        "cast": [one.model_dump(mode="json") for one in cards],
        "rounds": 1,
        "detail": "brief",
        "made_by": {name: step | said for name, said in {"collect": collect, **made_by}.items()},
    }
    (folder / "run.json").write_text(json.dumps(card | changes))
    (folder / "script.yaml").write_text(script)
    return folder


def built(folder):
    """Make a distillation with two arms, and the questions to ask them."""
    export(folder / "out" / "answer" / "export", "answer", BAKED)
    export(folder / "out" / "plain" / "export", "plain", PLAIN, BASE_SCRIPT)
    (folder / "base.yaml").write_text(BASE_SCRIPT)
    for task, numbers in (("sums", range(1, 5)), ("others", range(10, 12))):
        rows = [{"id": f"{task}/test/{n}", "question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in numbers]
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def compared(house):
    own = arms.opened(house / "out" / "answer" / "export")
    return study.Comparison(
        checkpoint=own,
        others=arms.beside(own),
        asking=Asking(tasks=(str(house / "sums.jsonl"),), elsewhere=(str(house / "others.jsonl"),), samples=2),
        base=f"scripted:{house / 'base.yaml'}",
        spec=lambda folder: f"scripted:{folder}/script.yaml",
        folder=house / "eval",
        alone=1,
    )


@pytest.fixture
def house(tmp_path):
    return built(tmp_path)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """The folder of a distillation whose comparison was held, once for the tests that look at it; its table is in `eval`."""
    house = built(tmp_path_factory.mktemp("house"))
    with without_other_plugins():
        path, unfinished = compared(house).hold(command="chorus eval baked")
        assert path == house / "eval" / "baked.md"
        assert not unfinished
        yield house


def rows_of(house):
    rows = json.loads((house / "eval" / "baked.json").read_text())["rows"]
    return {row["way of answering"]: row for row in rows}


def test_all_ways_stand_in_one_table(held):
    rows = rows_of(held)
    answer, dialogue = "baked (answer), answer", "baked (answer), chorus"
    assert list(rows) == [BASE, INNER, "majority@2", CHORUS, answer, dialogue, "plain GRPO (plain), answer"]
    right = {name: row["accuracy [95%]"].split()[0] for name, row in rows.items()}
    assert right == dict.fromkeys(rows, "0.25") | {answer: "0.75", dialogue: "0.50"}
    assert rows[CHORUS]["calls"] == "4.0"
    assert rows[answer]["calls"] == rows[dialogue]["calls"] == "1.0"
    assert (rows[answer]["voices"], rows[dialogue]["voices"], rows[CHORUS]["voices"]) == ("1.0", "0.5", "2.0")
    assert rows[BASE]["pass@k [95%]"].startswith("0.25")
    assert rows[CHORUS]["pass@k [95%]"] == "–"
    assert (rows[answer]["training, s"], rows[answer]["rollout tokens"]) == ("300", "5000")
    assert rows["plain GRPO (plain), answer"]["training, s"] == "100", "it needs no debates"
    assert rows[BASE]["other tasks [95%]"].startswith("0.00")
    assert rows[CHORUS]["other tasks [95%]"] == "–"
    assert all(float(row["seconds, asked alone"]) >= 0 for row in rows.values())


def test_what_the_table_lacks_and_what_was_aimed_at_is_said_below_it(held):
    told = (held / "eval" / "baked.md").read_text()
    assert "**Missing: SFT only**" in told
    assert "**Missing: shuffled personas**" in told
    assert "**Missing: plain GRPO**" not in told
    assert "Not at equal rollout tokens: plain wrote 1.8 times as many as answer" in told
    assert "No perplexity, as the weights are not at hand: base" in told
    assert "Aim, reaches the chorus's accuracy: reached by the bare figures (+50.0 points)" in told
    assert "Aim, loses no more than 2 points elsewhere: reached by the bare figures (+0.0 points)" in told
    assert "Made elsewhere: answer, plain, on a machine." in told
    assert (held / "eval" / "cost.svg").is_file()


def test_what_training_brought_is_read_from_the_steps_own_card(tmp_path):
    arm = arms.Arm(tmp_path / "answer" / "export", {"made_by": {"rl": {}}})
    assert arm.learning() == []
    log = [{"step": 0, "gold/accuracy": 0.1}, {"step": 1, "rollout_tokens": 90.0}]
    log += [{"step": 2, "rollout_tokens": 180.0, "gold/accuracy": 0.3}]
    (tmp_path / "answer" / "rl").mkdir(parents=True)
    (tmp_path / "answer" / "rl" / "run.json").write_text(json.dumps({"metrics": {"log": log}}))
    assert arm.learning() == [(0.0, 0.1), (180.0, 0.3)]
    plots.learning(tmp_path / "learning.svg", "learning", {"answer": arm.learning()})
    assert "learning" in (tmp_path / "learning.svg").read_text()


def test_each_way_is_asked_by_its_own_prompt(held):
    from inspect_ai.log import read_eval_log

    seen = {}
    for log in (held / "eval" / run.LOGS).glob("*.eval"):
        read = read_eval_log(str(log))
        plan = read.samples[0].store[samples.DEBATE]["plan"]
        seen[read.eval.metadata["system"]] = (plan["mode"], plan.get("trained_prompt"))
    assert seen["baked (answer), answer"] == ("solo", ONE)
    assert seen["baked (answer), chorus"] == ("inner", MANY)
    assert seen["baked (answer), answer" + DRAWN] == ("solo", ONE)
    assert seen[INNER] == ("inner", None)
    assert seen[CHORUS] == ("debate", None)


def test_what_is_answered_is_not_asked_again(held):
    logs, rows = sorted(held.rglob("*.eval")), rows_of(held)
    compared(held).hold(command="")
    assert sorted(held.rglob("*.eval")) == logs
    assert rows_of(held) == rows


def test_questions_that_were_trained_on_are_refused(house):
    (house / "out" / "collect").mkdir()
    lines = (house / "sums.jsonl").read_text().replace("/test/", "/train/")
    (house / "out" / "collect" / "questions.jsonl").write_text(lines)
    with pytest.raises(QuestionError, match="4 of the questions to train on are in"):
        compared(house).hold(command="")
    assert not (house / "eval").exists()


# Arms


@pytest.mark.parametrize(
    ("made_by", "role", "styles"),
    [
        (BAKED, "baked", ("answer", "chorus")),
        ({"sft": {"config": {"mix": {"plain": 1}}}}, "SFT only", ("answer",)),
        (PLAIN, "plain GRPO", ("answer",)),
        ({"rl": BAKED["rl"]}, "plain GRPO", ("answer",)),
        ({"bake": {"config": {"shuffle_methods": True}}}, "shuffled personas", ("chorus",)),
        ({"sft": {"config": {"mix": {"dialogue": 1}, "shuffle_names": True}}}, "shuffled personas", ("chorus",)),
    ],
)
def test_a_card_says_what_an_arm_is(tmp_path, made_by, role, styles):
    arm = arms.opened(export(tmp_path / "export", "any", made_by))
    assert (arm.role, arm.styles) == (role, styles)


def test_arms_beside_it_are_found_if_they_are_done(house):
    export(house / "out" / "half" / "export", "half", BAKED, status="stopped")
    own = arms.opened(house / "out" / "answer" / "export")
    assert [arm.name for arm in arms.beside(own)] == ["plain"]
    elsewhere = export(house / "elsewhere", "sft-only", {"sft": {"config": SFT}})
    assert [arm.name for arm in arms.beside(own, [elsewhere])] == ["plain", "sft-only"]
    assert arms.missing([own, *arms.beside(own, [elsewhere])]) == ["shuffled personas"]


def test_arms_are_named_as_seen_from_here(house, monkeypatch):
    monkeypatch.chdir(house)
    (plain,) = arms.beside(arms.opened(Path("out/answer/export")))
    assert plain.folder == Path("out/plain/export"), "no path of this machine gets into results"


def test_an_arm_of_another_model_is_refused(house):
    own = arms.opened(house / "out" / "answer" / "export")
    with pytest.raises(ConfigError, match="comes from large, not from tiny"):
        arms.beside(own, [export(house / "elsewhere", "big", PLAIN, model="large")])


@pytest.mark.parametrize("card", ["{}", None])
def test_a_folder_that_is_no_export_is_refused(tmp_path, card):
    if card:
        (tmp_path / "run.json").write_text(card)
    with pytest.raises(ConfigError, match=r"has no run\.json of an export"):
        arms.opened(tmp_path)


def test_an_export_that_is_not_finished_or_of_an_older_version_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is stopped: finish it first"):
        arms.opened(export(tmp_path / "one", "a", BAKED, status="stopped"))
    folder = export(tmp_path / "two", "a", BAKED)
    card = json.loads((folder / "run.json").read_text())
    del card["tasks"]
    (folder / "run.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match="doesn't say tasks: export it anew"):
        arms.opened(folder)


def test_arms_that_would_share_a_name_are_refused(house):
    own = arms.opened(house / "out" / "answer" / "export")
    twin = arms.opened(export(house / "elsewhere", "answer", BAKED))
    with pytest.raises(ConfigError, match="would both be named"):
        systems.ways(own, [twin])


# Costs and reading


def test_when_training_has_paid_for_itself():
    assert cost.pays_after(100.0, chorus=3.0, arm=1.0) == 50
    assert cost.pays_after(100.0, chorus=3.0, arm=2.97) == 3334
    assert cost.pays_after(100.0, chorus=1.0, arm=1.0) is None, "nothing is saved"
    assert cost.pays_after(100.0, chorus=None, arm=1.0) is None


def test_where_training_ran_on_another_machine_nothing_is_said_of_when_it_pays(house):
    checkpoint = arms.opened(house / "out" / "answer" / "export")
    assert not cost.spent(checkpoint).here
    assert table._made(checkpoint, 3.0, 1.0)[-1] == "–"
    steps = [step | {"hardware": f"{hardware()}, Python 3.11"} for step in checkpoint.card["made_by"].values()]
    here = arms.Arm(
        checkpoint.folder, checkpoint.card | {"made_by": dict(zip(checkpoint.card["made_by"], steps, strict=True))}
    )
    assert table._made(here, 3.0, 1.0)[-1] == "150"
    with_gpu = cost.Spent(1.0, 0.0, 0, 0, (f"{hardware()}, NVIDIA H100 80GB HBM3 81559 MiB, Python 3.11",))
    assert not with_gpu.here, "what it has in common with this one is not all"


def test_debates_are_charged_to_what_was_trained_on_them(house):
    spent = cost.spent(arms.opened(house / "out" / "answer" / "export"))
    assert (spent.seconds, spent.debating, spent.debated_tokens, spent.rollout_tokens) == (300.0, 100.0, 1000, 5000)
    plain = cost.spent(arms.opened(house / "out" / "plain" / "export"))
    assert (plain.seconds, plain.debating, plain.debated_tokens, plain.rollout_tokens) == (100.0, 0.0, 0, 9000)


def test_perplexity_and_its_change_are_those_of_the_losses():
    base, worse = [Loss(20.0, 10), Loss(30.0, 15)], [Loss(22.0, 10), Loss(33.0, 15)]
    assert reading.perplexity(base) == pytest.approx(2.718281828**2)
    rose = reading.change(worse, base)
    assert rose.value == pytest.approx(2.718281828**0.2)
    assert rose.low == pytest.approx(rose.high), "every paragraph rose alike"


def test_the_page_to_read_has_paragraphs_and_shares_none_with_what_is_replayed():
    from chorus.distill import mix

    page = reading.page()
    assert len(page) == 12
    everyday = {prompt[0].content for prompt in mix.everyday()}
    assert not any(line in paragraph for paragraph in page for line in everyday)


def test_what_was_read_once_is_not_read_again(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    times = []
    monkeypatch.setattr(reading, "_losses", lambda _: times.append(1) or [Loss(2.0, 1)])
    assert reading.read(folder, tmp_path / "reading.json") == reading.read(folder, tmp_path / "reading.json")
    assert len(times) == 1
    (folder / "model.safetensors").write_bytes(b"others")
    reading.read(folder, tmp_path / "reading.json")
    assert len(times) == 2


@pytest.mark.model
def test_the_embedded_model_reads_prose_more_easily_than_its_words_in_the_wrong_order(monkeypatch, tmp_path):
    pytest.importorskip("transformers")
    prose = reading.page()[:2]
    turned = [" ".join(reversed(paragraph.split())) for paragraph in prose]
    monkeypatch.setattr(reading, "page", lambda: [*prose, *turned])
    losses = reading.read(checkpoints.resolve("smollm2-135m"), tmp_path / "reading.json")
    assert [loss.tokens for loss in losses[:2]] == pytest.approx([loss.tokens for loss in losses[2:]], rel=0.1)
    assert 1 < reading.perplexity(losses[:2]) < 100 < reading.perplexity(losses[2:])


def test_tokens_a_right_answer():
    from synthetic import of

    assert table.per_right(of([True, False, False, True])) == 200
    assert table.per_right(of([False])) is None
    assert "reached" in report._aim("x", True, "y")


# The command


def test_without_further_wishes_it_is_asked_what_it_was_trained_on_and_three_other_tasks(house):
    def planned(**asked):
        asking = Asking(tasks=(), elsewhere=systems.ELSEWHERE, **asked)
        checkpoint = house / "out" / "answer" / "export"
        return study.planned(checkpoint, (), asking, kind="vllm", base=None, folder=house / "eval", alone=5)

    work = planned()
    assert (work.asking.tasks, work.asking.elsewhere) == (("sums",), systems.ELSEWHERE)
    assert work.base == "vllm:tiny"
    assert work.spec(house / "export") == f"vllm:{house}/export"
    suites = list(systems.suites(work.checkpoint, work.others, work.asking, work.base, work.spec))
    assert [suite.engine for suite in suites] == [
        "vllm:tiny",
        f"vllm:{house}/out/answer/export",
        f"vllm:{house}/out/plain/export",
    ]
    assert {suite.split for suite in suites} == {"test"}
    told = planned(engine_options={"enforce_eager": True})
    for suite in systems.suites(told.checkpoint, told.others, told.asking, told.base, told.spec):
        assert all(suite.settings_of(one, 0)["engine_options"] == {"enforce_eager": True} for one in suite.system)


def test_a_checkpoint_whose_tasks_are_not_known_has_to_be_told_them(tmp_path):
    folder = export(tmp_path / "export", None, BAKED, tasks=[])
    with pytest.raises(ConfigError, match="say which, with --task"):
        study.planned(folder, (), Asking(tasks=()), kind="hf", base=None, folder=tmp_path, alone=0)


def test_an_engine_option_without_a_value_is_refused(house, monkeypatch, capsys):
    checkpoint = str(house / "out" / "answer" / "export")
    ran = Command(house, monkeypatch, capsys)("eval", "baked", checkpoint, "--engine-option", "enforce_eager")
    assert ran.code == 2
    assert "'enforce_eager' is not NAME=VALUE" in ran.err


def test_the_command_refuses_what_is_no_export(tmp_path, monkeypatch, capsys):
    ran = Command(tmp_path, monkeypatch, capsys)("eval", "baked", str(tmp_path))
    assert ran.code == 2
    assert "has no run.json of an export" in ran.err


def test_its_table_tells_the_command_that_made_it_but_for_where_it_lies(house, monkeypatch, capsys):
    told = []

    class Work:
        def hold(self, command, **_):
            told.append(command)
            return house / "sums.jsonl", []

    monkeypatch.setattr(study, "planned", lambda *_, **__: Work())
    line = "eval baked out/answer/export --split dev --samples 2 --task sums --task lcm --engine-option eager=true"
    ran = Command(house, monkeypatch, capsys)(*line.split(), "--out", "elsewhere")
    assert ran.code == 0, ran.err
    assert sorted(told[0].split()) == sorted(f"chorus {line}".split())


def test_what_is_rehearsed_is_of_other_tasks_than_those_that_forgetting_is_measured_on():
    rehearsed, kept = recipe.load("small", "rehearsed"), recipe.load("small", "kept")
    replay = kept.sft.replay.model_copy(update={"others": rehearsed.sft.replay.others})
    assert rehearsed.sft == kept.sft.model_copy(update={"replay": replay})
    others = to_train_on(rehearsed.file(rehearsed.sft.replay.others))
    assert len(tasks_of(others)) == 12
    assert not set(tasks_of(others)) & {"largest-of-three", "sort-numbers", *ELSEWHERE}
