"""`chorus distill` on the command line, as far as it goes without trainers."""

import json

import pytest
from command_line import Command
from workshop import set_up, write_questions

from chorus.cluster import on_ray
from chorus.cluster.worker import Worker
from chorus.distill import steps


@pytest.fixture
def chorus(tmp_path, monkeypatch, capsys):
    return Command(tmp_path, monkeypatch, capsys)


@pytest.fixture
def recipe(tmp_path):
    return str(set_up(tmp_path))


def test_collect_keeps_every_record_and_makes_rows(chorus, recipe, tmp_path):
    ran = chorus("distill", "collect", "--recipe", recipe, "--out", "out")
    assert ran.code == 0, ran.err
    folder = tmp_path / "out" / "collect"
    assert len((folder / "records.jsonl").read_text().splitlines()) == 4
    marked = [json.loads(line) for line in (folder / "marks.jsonl").read_text().splitlines()]
    assert sorted(mark["right"] for mark in marked) == [False, True, True, True]
    assert len((folder / "rows.jsonl").read_text().splitlines()) == 16
    card = json.loads((folder / "run.json").read_text())
    assert card["status"] == "done"
    assert (card["metrics"]["right"], card["metrics"]["corrected_turns"]) == (3, 3)
    assert "| wrong | 1 |" in (folder / "README.md").read_text()


def test_collect_is_done_once_and_goes_on_where_it_was_killed(chorus, recipe, tmp_path):
    chorus("distill", "collect", "--recipe", recipe, "--out", "out")
    again = chorus("distill", "collect", "--recipe", recipe, "--out", "out")
    assert "done before" in again.err
    folder = tmp_path / "out" / "collect"
    whole = (folder / "rows.jsonl").read_text()
    kept = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    (folder / "records.jsonl").write_text("".join(kept[:2]) + kept[2][:50])
    card = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(card | {"status": "running"}))
    assert chorus("distill", "collect", "--recipe", recipe, "--out", "out").code == 0
    rows = (folder / "rows.jsonl").read_text()
    assert sorted(rows.splitlines()) == sorted(whole.splitlines())


def test_files_that_share_a_name_are_told_apart(chorus, recipe, tmp_path):
    for folder, sums in {"train": {"What is 7 * 8?": "56"}, "test": {"What is 1 + 1?": "2"}}.items():
        (tmp_path / folder).mkdir()
        write_questions(tmp_path / folder / "q.jsonl", sums)
    collect = ("distill", "collect", "--recipe", recipe, "--out", "out", "--held-out", "test/q.jsonl")
    assert chorus(*collect, "--questions", "train/q.jsonl").code == 0
    write_questions(tmp_path / "train" / "q.jsonl", {"What is 60 - 4?": "56"})
    again = chorus(*collect, "--questions", "train/q.jsonl")
    assert (again.code, "from other data" in again.err) == (2, True)


def test_files_that_change_their_roles_are_other_data(chorus, recipe, tmp_path):
    for name, sums in {"one.jsonl": {"What is 7 * 8?": "56"}, "other.jsonl": {"What is 1 + 1?": "2"}}.items():
        write_questions(tmp_path / name, sums)
    collect = ("distill", "collect", "--recipe", recipe, "--out", "out")
    assert chorus(*collect, "--questions", "one.jsonl", "--held-out", "other.jsonl").code == 0
    assert "done before" in chorus(*collect, "--questions", "one.jsonl", "--held-out", "other.jsonl").err
    turned = chorus(*collect, "--questions", "other.jsonl", "--held-out", "one.jsonl")
    assert (turned.code, "from other data" in turned.err) == (2, True)


def test_collect_makes_the_same_of_debates_that_were_held_on_ray(chorus, recipe, tmp_path, monkeypatch):
    class Fleet:
        """A worker in this process."""

        at_once = 8

        def __init__(self, address, settings, *, concurrency, **options):
            self.worker = Worker(settings, None, concurrency, str(tmp_path))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.worker.close()

        def hold(self, lines):
            yield from self.worker.hold(lines)

    monkeypatch.setattr(on_ray, "RayFleet", Fleet)
    for where, more in (("here", []), ("there", ["--ray", "local"])):
        ran = chorus("distill", "collect", "--recipe", recipe, "--out", where, *more)
        assert ran.code == 0, ran.err
    here, there = (tmp_path / where / "collect" for where in ("here", "there"))
    assert sorted((there / "rows.jsonl").read_text()) == sorted((here / "rows.jsonl").read_text())
    for where, more, told in (("here", ["--ray", "local"], "without Ray"), ("there", [], "on Ray")):
        card = tmp_path / where / "collect" / "run.json"
        card.write_text(json.dumps(json.loads(card.read_text()) | {"status": "running"}))
        ran = chorus("distill", "collect", "--recipe", recipe, "--out", where, *more)
        assert (ran.code, f"was begun {told}" in ran.err) == (2, True)


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")  # Ray has warnings of its own.
def test_collect_makes_the_same_on_a_real_cluster(chorus, recipe, tmp_path):
    """One that is started for this run and ended with it."""
    pytest.importorskip("ray")
    for where, more in (("here", []), ("there", ["--ray", "local", "--workers", "1"])):
        ran = chorus("distill", "collect", "--recipe", recipe, "--out", where, *more)
        assert ran.code == 0, ran.err
    here, there = (tmp_path / where / "collect" for where in ("here", "there"))
    assert list((there / "records").glob("part-*.jsonl"))
    rows = [sorted((folder / "rows.jsonl").read_text().splitlines()) for folder in (here, there)]
    assert len(rows[0]) == 16
    assert rows[0] == rows[1]
    assert json.loads((there / "run.json").read_text())["status"] == "done"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["--questions", "dev.jsonl"], "belongs to the dev split"),
        (["--held-out", "train.jsonl"], "to train on are in train.jsonl too"),
        (["--gold", "test.jsonl"], "measure on dev"),
        (["--questions", "none.jsonl"], "can't read none.jsonl"),
    ],
)
def test_questions_that_may_not_be_trained_on_are_refused_before_any_debate(chorus, recipe, tmp_path, changes, told):
    write_questions(tmp_path / "test.jsonl", {"What is 1 + 1?": "2"}, "test")
    ran = chorus("distill", "collect", "--recipe", recipe, "--out", "out", *changes)
    assert ran.code == 2
    assert told in ran.err
    assert not (tmp_path / "out").exists()


def test_a_cast_that_the_model_writes_can_not_be_baked(chorus, tmp_path):
    recipe = set_up(tmp_path)
    recipe.write_text(recipe.read_text().replace("skeptic,estimator,formalist", "written"))
    ran = chorus("distill", "collect", "--recipe", str(recipe), "--out", "out")
    assert ran.code == 2
    assert "name the personas" in ran.err


def test_a_step_wants_the_steps_before_it(chorus, recipe):
    ran = chorus("distill", "sft", "--recipe", recipe, "--out", "out")
    assert ran.code == 2
    assert "run `chorus distill collect`" in ran.err


def test_a_step_that_the_recipe_does_not_have(chorus, recipe, tmp_path):
    chorus("distill", "collect", "--recipe", recipe, "--out", "out")
    path = set_up(tmp_path, changes="[arms.short]\nsteps = ['collect', 'sft']")
    ran = chorus("distill", "rl", "--recipe", str(path), "--arm", "short", "--out", "out")
    assert ran.code == 2
    assert "has no step rl" in ran.err


def test_without_the_trainers_the_install_line_is_named(chorus, recipe, monkeypatch):
    monkeypatch.setattr(steps, "NEEDS", ("a_library_that_is_not_there",))
    chorus("distill", "collect", "--recipe", recipe, "--out", "out")
    ran = chorus("distill", "sft", "--recipe", recipe, "--out", "out")
    assert ran.code == 2
    assert "pip install 'greek-chorus[distill]'" in ran.err


@pytest.mark.parametrize("step", ["run", "collect", "sft", "bake", "rl", "export"])
def test_each_step_helps(chorus, step):
    ran = chorus("distill", step, "--help")
    assert ran.code == 0
    assert "--recipe" in ran.out
