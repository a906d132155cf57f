"""Recipes as they are read: the package's own, a user's, and what is wrong with them."""

import pytest
from workshop import arms_of, set_up

from chorus import ConfigError
from chorus.distill import recipe
from chorus.distill.questions import to_measure_on, to_train_on, with_hidden_truth
from chorus.types import Question


@pytest.mark.parametrize("name", recipe.BUILT_IN)
def test_the_packages_recipes_are_read(name):
    loaded = recipe.load(name)
    assert loaded.name == name
    assert loaded.note
    for arm in arms_of(name):
        assert recipe.load(name, arm).arm == arm


def test_small_has_its_arms_and_controls():
    assert set(arms_of("small")) >= {"answer", "chorus", "plain", "sft-only", "shuffled"}
    answer, plain, shaped = (recipe.load("small", arm) for arm in ("answer", "plain", "plain-shaped"))
    assert answer.rl.rollout_tokens == plain.rl.rollout_tokens == shaped.rl.rollout_tokens
    assert "sft" not in plain.steps + shaped.steps
    assert not plain.rl.rewards.formed
    assert shaped.rl == answer.rl.model_copy(update={"trainer": shaped.rl.trainer})
    chorus, shuffled = recipe.load("small", "chorus"), recipe.load("small", "shuffled")
    assert shuffled.sft == chorus.sft.model_copy(update={"shuffle_names": True})
    assert shuffled.rl == chorus.rl
    assert "bake" in recipe.load("small", "protocol").steps
    only, neutral = recipe.load("small", "sft-only"), recipe.load("small", "neutral")
    assert "rl" not in only.steps == neutral.steps
    assert neutral.sft == only.sft.model_copy(update={"replay": neutral.sft.replay}), "as many steps, as large"
    assert neutral.sft.replay.share == 1.0


def test_each_further_reward_has_an_arm_that_differs_in_it_alone():
    chorus, distinct, half, consensus = (
        recipe.load("small", arm).rl for arm in ("chorus", "distinct", "half", "consensus")
    )
    assert distinct == chorus.model_copy(update={"rewards": distinct.rewards})
    assert consensus == half.model_copy(update={"rewards": consensus.rewards})
    assert (distinct.rewards.distinct, consensus.rewards.consensus) > (0.0, 0.0)
    assert half.hidden == consensus.hidden == 0.5


def test_the_truths_that_are_hidden_are_the_same_ones_every_time():
    questions = [Question(id=f"sums/train/{at}", text=f"{at} + 1?", answer=str(at + 1)) for at in range(200)]
    left, again, other = (with_hidden_truth(questions, 0.5, seed) for seed in (0, 0, 1))
    assert left == again != other
    assert [one.text for one in left] == [one.text for one in questions]
    assert 70 < sum(one.answer is None for one in left) < 130
    assert with_hidden_truth(questions, 0.0, 0) == questions


def test_settings_that_came_later_leave_what_was_made_before_them_as_it_is():
    answer, half = recipe.load("small", "answer"), recipe.load("small", "half")
    assert "hidden" not in answer.part("rl")
    assert half.part("rl")["hidden"] == 0.5


def test_settings_that_came_later_change_nothing_where_they_are_unset():
    plain, kept = recipe.load("smoke").part("sft"), recipe.load("small", "kept").part("sft")
    assert "precision" not in plain
    assert not {"styled", "others"} & plain["replay"].keys()
    assert (kept["precision"], kept["replay"]["styled"]) == ("float32", True)


def test_the_recipe_for_a_gpu_runs_on_the_embedded_model_with_the_same_trainers():
    whole, embedded = recipe.load("h100"), recipe.load("h100", "embedded")
    assert embedded.model == "smollm2-135m"
    assert embedded.steps == whole.steps
    assert embedded.rl.trainer.keys() == whole.rl.trainer.keys(), "vLLM in the trainer's own process, with less memory"
    assert embedded.collect.chorus["engine"] == "vllm:smollm2-135m"


def test_only_an_adapter_is_weakened(tmp_path):
    kept, tempered = recipe.load("small", "kept"), recipe.load("small", "tempered")
    assert "strength" not in kept.part("export")
    assert tempered.part("export")["strength"] == 0.75
    assert all(tempered.part(step) == kept.part(step) for step in ("collect", "sft", "rl")), (
        "they share what is trained"
    )
    path = tmp_path / "own.toml"
    path.write_text('[sft]\nsteps = 1\nbatch = 1\nlearning_rate = 0.1\nweights = "full"\n[export]\nstrength = 0.5\n')
    with pytest.raises(ConfigError, match=r"own.toml: export: .*weakens an adapter, and sft trains full weights"):
        recipe.load(str(path))
    path.write_text(path.read_text().replace("[sft]", "[rl]"))
    with pytest.raises(ConfigError, match=r"own.toml: export: .*weakens an adapter, and rl trains full weights"):
        recipe.load(str(path))


def test_only_what_was_trained_before_is_weakened_for_reinforcement(tmp_path):
    rehearsed, eased = recipe.load("small", "rehearsed"), recipe.load("small", "eased")
    assert "strength" not in rehearsed.part("rl")
    assert eased.rl == rehearsed.rl.model_copy(update={"strength": 0.5})
    path, half = tmp_path / "own.toml", "steps = 1\nbatch = 1\nlearning_rate = 0.1\nstrength = 0.5\n"
    path.write_text(f"steps = ['collect', 'rl', 'export']\n[rl]\n{half}")
    with pytest.raises(ConfigError, match=r"rl: .*weakens what was trained before, and no step before it trains"):
        recipe.load(str(path))
    path.write_text(f"steps = ['collect', 'sft', 'rl', 'export']\n[rl]\nweights = 'full'\n{half}")
    with pytest.raises(ConfigError, match=r"rl: .*weakens an adapter, and rl trains full weights"):
        recipe.load(str(path))


def test_an_arm_changes_what_it_is_like(tmp_path):
    changes = "[arms.a]\nseed = 1\nrl.steps = 7\n[arms.b]\nlike = 'a'\nrl.batch = 4\n"
    loaded = recipe.load(str(set_up(tmp_path, changes=changes)), "b")
    assert (loaded.seed, loaded.rl.steps, loaded.rl.batch) == (1, 7, 4)


def test_arms_of_other_seeds_share_the_debates():
    one, other = recipe.load("small", "answer"), recipe.load("small", "answer-1")
    assert one.seed != other.seed
    assert one.part("collect") == other.part("collect")
    assert one.part("rl") != other.part("rl")


def test_the_questions_of_smoke_are_apart():
    smoke = recipe.load("smoke")
    train = to_train_on(smoke.file("smoke.train.jsonl"), held_out=[smoke.file("smoke.dev.jsonl")])
    assert to_measure_on(smoke.file("smoke.dev.jsonl"), train)


def test_rewards_for_agreeing_and_for_differing_are_off_unless_asked_for():
    assert (recipe.Rewards().consensus, recipe.Rewards().distinct) == (0.0, 0.0)


def test_a_users_recipe(tmp_path):
    loaded = recipe.load(str(set_up(tmp_path)))
    assert loaded.rl.styles == ("answer", "chorus")
    assert loaded.file("train.jsonl").is_file()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[arms.a]\nsteps = ['sft', 'fly']", "steps.1"),
        ("[arms.a.sft]\nsteps = 0", "sft.steps"),
        ("[arms.a.sft]\nlearing_rate = 1e-3", "did you mean learning_rate"),
        ("[arms.a.rl.rewards]\nkindness = 1.0", "rl.rewards.kindness"),
        ("[arms.a]\nmodell = 'x'", "did you mean model"),
        ("[arms.a]\nlike = 'b'", "has no arm 'b'"),
        ("[arms.a]\nlike = 'b'\n[arms.b]\nlike = 'a'", "has no arm 'a'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, line, told):
    path = set_up(tmp_path, changes=line)
    with pytest.raises(ConfigError, match=told):
        recipe.load(str(path), "a")


def test_a_recipe_that_is_not_there():
    with pytest.raises(ConfigError, match="did you mean smoke"):
        recipe.load("smok")
    with pytest.raises(ConfigError, match="has no arm 'fast': answer, chorus"):
        recipe.load("small", "fast")


def test_a_file_that_is_no_toml(tmp_path):
    (tmp_path / "r.toml").write_text("steps = [")
    with pytest.raises(ConfigError, match="can't read the recipe"):
        recipe.load(str(tmp_path / "r.toml"))
