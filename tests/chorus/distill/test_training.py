"""The steps for real, with TRL, on a tiny model: what they train, save, log and refuse, and how they go on after a kill."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import json
import math
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import start
from workshop import arms_of, set_up, tiny_model, write_questions

from chorus import CheckpointError, Chorus, ConfigError, QuestionError, RecordError, checkpoints, config
from chorus.batch import Summary
from chorus.checkpoints import baked as asking
from chorus.checkpoints import manifest
from chorus.distill import collect as collecting
from chorus.distill import ledger, recipe, rewards
from chorus.distill.collapse import Collapsed
from chorus.distill.files import NotWritten
from chorus.distill.recipe import Limits, Replay, Rewards
from chorus.distill.rewards import RewardFault
from chorus.distill.steps import Given, Place, collected, trained
from chorus.distill.styles import PROMPTS
from chorus.engines.registry import event_loop

if TYPE_CHECKING:
    import torch

NEEDS = ("trl", "peft", "datasets", "tensorboard")

# The trainers take long to import, so it is left to the tests.
pytestmark = [
    pytest.mark.distill,
    pytest.mark.skipif(not all(map(importlib.util.find_spec, NEEDS)), reason="needs the extra distill"),
    pytest.mark.timeout(900),  # the first of these tests imports the trainers, and may have to download a tokenizer
    pytest.mark.filterwarnings("default"),  # torch, transformers and TRL have warnings of their own
]

TRAINED = ("sft", "bake", "rl")


def silent(*_: object) -> None:
    """Report nothing."""


def collect(place: Place) -> None:
    chorus = Chorus(settings=config.load(place.recipe.collect.chorus))

    def hold(questions, folder: Path) -> Summary:
        with asyncio.Runner(loop_factory=lambda: event_loop(chorus.settings.engine)) as runner:
            return runner.run(collecting.hold(chorus, questions, folder))

    collected(place, chorus, hold, silent)


def place_of(file: Path, out: Path) -> Place:
    return Place(recipe.load(str(file)), out)


@pytest.fixture(scope="module")
def workshop_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    set_up(folder, str(tiny_model(folder / "model")))
    return folder


@pytest.fixture(scope="module")
def baked(workshop_folder) -> Place:
    """A run through all steps, never interrupted."""
    place = place_of(workshop_folder / "tiny.toml", workshop_folder / "out")
    collect(place)
    for step in (*TRAINED, "export"):
        trained(place, step, silent)
    return place


@pytest.fixture
def up_to(baked, tmp_path):
    """A copy of that run as it was before a step."""

    def copy(step: str) -> Place:
        for name in ("collect", *TRAINED[: TRAINED.index(step)]):
            shutil.copytree(baked.folder(name), tmp_path / "out" / name)
        return Place(baked.recipe, tmp_path / "out")

    return copy


def card(place: Place, step: str) -> dict:
    return json.loads((place.folder(step) / "run.json").read_text())


def weights(place: Place, step: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(place.folder(step) / "adapter" / "adapter_model.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    import torch

    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def logged(place: Place, step: str, name: str) -> list[float]:
    return [entry[name] for entry in card(place, step)["metrics"]["log"] if name in entry]


# What the steps do


@pytest.mark.parametrize("step", TRAINED)
def test_losses_are_finite_and_weights_move(baked, step):
    losses = logged(baked, step, "loss")
    assert len(losses) == card(baked, step)["metrics"]["steps"] > 1
    assert all(map(math.isfinite, losses))
    assert card(baked, step)["metrics"]["moved"] > 0


def test_a_neutral_twin_learns_ordinary_chat_alone(up_to, tmp_path):
    place, chat = up_to("sft"), tmp_path / "chat.jsonl"
    chat.write_text(json.dumps({"prompt": "Hello", "completion": "Hi"}) + "\n")

    def twin(**replay) -> Place:
        own = place.recipe.sft.replay.model_copy(update={"share": 1.0, **replay})
        part = place.recipe.sft.model_copy(update={"replay": own})
        return Place(place.recipe.model_copy(update={"sft": part}), place.out)

    with pytest.raises(RecordError, match="no ordinary chat in their place"):
        trained(twin(max_tokens=1), "sft", silent)
    shutil.rmtree(place.out / "sft")
    trained(twin(file=str(chat)), "sft", silent)
    metrics = card(place, "sft")["metrics"]
    assert metrics["examples"] == 0
    assert metrics["replayed"] > 0
    assert metrics["steps"] == place.recipe.sft.steps


def test_half_of_the_chat_is_what_the_model_says_to_questions_of_other_tasks(up_to, tmp_path):
    place, chat = up_to("sft"), tmp_path / "chat.jsonl"
    chat.write_text(json.dumps({"prompt": "Hello", "completion": "Hi"}) + "\n")

    def rehearsing(split: str) -> Place:
        others = write_questions(tmp_path / f"{split}.jsonl", {"What is 1 + 1?": "2", "What is 2 + 1?": "3"}, split)
        replay = Replay(share=0.5, file=str(chat), others=str(others))
        part = place.recipe.sft.model_copy(update={"replay": replay})
        return Place(place.recipe.model_copy(update={"sft": part}), place.out)

    told: list[str] = []
    trained(rehearsing("train"), "sft", told.append)
    assert told[0] == "sft: the model says what it says to 4 prompts of other tasks", "two questions, in two styles"
    metrics, data = (card(rehearsing("train"), "sft")[part] for part in ("metrics", "data"))
    assert metrics["replayed"] == metrics["examples"]
    assert {"replay/chat.jsonl", "replay/train.jsonl"} < data.keys(), "other chat makes other weights"
    shutil.rmtree(place.folder("sft"))
    with pytest.raises(QuestionError, match="test split, which is not trained on"):
        trained(rehearsing("test"), "sft", silent)
    held_out = write_questions(tmp_path / "held-out.jsonl", {"what is 1 + 1?": "2"}, "test")
    with pytest.raises(QuestionError, match="1 of the questions to train on are in"):
        trained(Place(rehearsing("train").recipe, place.out, Given(held_out=(held_out,))), "sft", silent)
    chat.unlink()
    with pytest.raises(ConfigError, match=r"can't read .*chat.jsonl, which the recipe names"):
        trained(rehearsing("train"), "sft", silent)


def test_steps_train_the_same_adapter_on(baked):
    first, second, third = (weights(baked, step) for step in TRAINED)
    assert first.keys() == second.keys() == third.keys()
    assert not equal(first, second)
    assert not equal(second, third)


def test_baking_logs_the_divergence_by_token_decile(baked):
    deciles = {
        name: value
        for entry in card(baked, "bake")["metrics"]["log"]
        for name, value in entry.items()
        if "decile" in name
    }
    assert len(deciles) > 3
    assert all(math.isfinite(value) for value in deciles.values())
    # A babbler hardly heeds what it reads, so its teacher knows nothing more; test_smoke sees the two apart.


def test_reinforcement_logs_all_that_is_watched(baked):
    for name in (
        *(f"rewards/{reward}/mean" for reward in ("correct", "brief", "formed")),
        *("reward", "entropy", "frac_reward_zero_std", "pass@1", "pass@k", "consensus"),
    ):
        assert len(logged(baked, "rl", name)) == 4, name
    for name in ("misled", "corrected"):  # in batches with dialogues
        assert logged(baked, "rl", name), name
    for name in ("gold/accuracy", "gold/accuracy_answer", "gold/accuracy_chorus", "gold/pass@k", "gold/majority_right"):
        assert len(logged(baked, "rl", name)) == 3, name  # before the first step, and after every second one
    assert card(baked, "rl")["metrics"]["rollout_tokens"] == logged(baked, "rl", "rollout_tokens")[-1] > 0
    assert list(baked.folder("rl").rglob("events.out.tfevents.*"))


def test_rewards_are_paid_and_differ_within_groups(baked):
    assert max(logged(baked, "rl", "rewards/correct/mean")) > 0
    assert min(logged(baked, "rl", "frac_reward_zero_std")) < 1


def test_a_step_that_is_done_is_not_done_again(baked):
    before = (baked.folder("rl") / "run.json").read_text()
    said: list[str] = []
    trained(baked, "rl", said.append)
    assert said == ["rl: done before"]
    assert (baked.folder("rl") / "run.json").read_text() == before


# What comes out of them


def test_adapter_saved_reloaded_and_merged_say_the_same(baked, workshop_folder):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(workshop_folder / "model", dtype=torch.float32).eval()
    merged = AutoModelForCausalLM.from_pretrained(baked.folder("export"), dtype=torch.float32).eval()
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        untrained = base(ids).logits
        adapted = PeftModel.from_pretrained(base, baked.folder("rl") / "adapter").eval()(ids).logits
        exported = merged(ids).logits
    assert torch.allclose(exported, adapted, atol=1e-4)
    assert not torch.allclose(exported, untrained, atol=1e-3)


def test_the_checkpoint_is_of_the_same_shape_as_its_base_so_whatever_loads_that_loads_it(baked, workshop_folder):
    from safetensors.torch import load_file

    was, now = (
        load_file(folder / "model.safetensors") for folder in (workshop_folder / "model", baked.folder("export"))
    )
    assert {name: weight.shape for name, weight in was.items()} == {name: weight.shape for name, weight in now.items()}
    one, other = (
        json.loads((folder / "config.json").read_text())
        for folder in (workshop_folder / "model", baked.folder("export"))
    )
    assert one["architectures"] == other["architectures"]
    assert checkpoints.local_path(str(baked.folder("export"))) is not None


def test_its_card_marks_it_as_baked(baked):
    found = card(baked, "export")
    assert found["status"] == "done"
    assert [persona["id"] for persona in found["cast"]] == ["skeptic", "estimator", "formalist"]
    assert set(found["prompts"]) == {"answer", "chorus"}
    assert found["weights"]["checkpoint"] == checkpoints.fingerprint(baked.folder("export"))
    assert set(found["made_by"]) == {"collect", *TRAINED}
    assert found["made_by"]["rl"]["metrics"]["rollout_tokens"] > 0
    assert found["tasks"] == ["sums"]
    assert asking.read(baked.folder("export")).prompts == PROMPTS
    told = (baked.folder("export") / "README.md").read_text()
    assert "The Skeptic" in told
    assert "| rl | 4 |" in told


def test_an_adapter_kept_by_itself_is_opened_as_the_checkpoint_that_it_makes_of_its_base(baked, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import load_file

    monkeypatch.setenv("CHORUS_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "adapters" / "ours"
    shutil.copytree(baked.folder("export") / "adapter", kept)
    said = json.loads((kept / "run.json").read_text())
    assert json.loads((kept / "adapter_config.json").read_text())["base_model_name_or_path"] == said["model"]
    assert checkpoints.local_path(str(kept)) is None
    told: list[str] = []
    opened = checkpoints.resolve(str(kept), told.append)
    assert checkpoints.local_path(str(kept)) == opened
    assert any("adding the adapter" in line for line in told)
    assert asking.read(opened) == asking.read(baked.folder("export"))
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (baked.folder("export"), opened))
    assert theirs.keys() == ours.keys()
    assert all(torch.allclose(ours[name].float(), weight.float(), atol=1e-4) for name, weight in theirs.items())
    for file in (kept / "adapter_model.safetensors", opened / "model.safetensors"):
        assert file.stat().st_mode & 0o044 == 0o044, "others may read it"
    (kept / "run.json").write_text(json.dumps(said | {"base_sha256": "0" * 64}))
    assert checkpoints.local_path(str(kept)) is None, "with another card it is another checkpoint"
    with pytest.raises(CheckpointError, match=r"was made for the weights 000000000000…; those of"):
        checkpoints.resolve(str(kept))


def test_adapters_of_the_checkpoints_that_are_there_are_kept_too(baked):
    kept = baked.folder("export") / "adapters"
    assert [folder.name for folder in kept.iterdir()] == ["2"]
    found, made = kept / "2" / "adapter_model.safetensors", baked.folder("rl") / "checkpoint-2"
    assert found.read_bytes() == (made / found.name).read_bytes()
    assert json.loads((kept / "2" / "run.json").read_text())["steps_trained"] == 2


def test_a_weakened_adapter_lies_between_its_base_and_what_it_learnt(baked, workshop_folder, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import load_file

    monkeypatch.setenv("CHORUS_CACHE", str(tmp_path / "cache"))
    text = (workshop_folder / "tiny.toml").read_text()
    file = workshop_folder / "weak.toml"
    file.write_text(text + "strength = 0.25\n")
    weak = place_of(file, tmp_path / "out")
    for name in ("collect", *TRAINED):
        shutil.copytree(baked.folder(name), weak.folder(name))
    trained(weak, "export", silent)
    assert "Of what they changed, 25% was added" in (weak.folder("export") / "README.md").read_text()
    before, after, between, alone = (
        load_file(folder / "model.safetensors")
        for folder in (
            workshop_folder / "model",
            baked.folder("export"),
            weak.folder("export"),
            checkpoints.resolve(str(weak.folder("export") / "adapter"), silent),
        )
    )
    assert json.loads((weak.folder("export") / "adapter" / "run.json").read_text())["strength"] == 0.25
    for name, weight in before.items():
        expected = torch.lerp(weight.float(), after[name].float(), 0.25)
        assert torch.allclose(between[name].float(), expected, atol=1e-5)
        assert torch.allclose(alone[name].float(), expected, atol=1e-5)
    assert any(not torch.equal(weight, after[name]) for name, weight in between.items())


def test_reinforcement_may_begin_with_a_part_of_what_was_learnt_and_goes_on_from_all_of_its_own(
    baked, workshop_folder, tmp_path, monkeypatch
):
    import torch

    text = (workshop_folder / "tiny.toml").read_text()
    file = workshop_folder / "eased.toml"  # Its steps are too small to see, so what it ends with is what it began with.
    file.write_text(text.replace("learning_rate = 1e-2", "learning_rate = 1e-12\nstrength = 0.25"))
    place = place_of(file, tmp_path / "out")
    for name in ("collect", "sft", "bake"):
        shutil.copytree(baked.folder(name), place.folder(name))
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Killed):
            trained(place, "rl", silent)
    trained(place, "rl", silent)
    learnt = weights(baked, "bake")
    for name, weight in weights(place, "rl").items():
        expected = learnt[name] * (0.25 if ".lora_B." in name else 1)
        assert torch.allclose(weight, expected, atol=1e-6), f"{name}: gone on from, it is not weakened again"
    assert any(weight.abs().max() > 1e-4 for name, weight in learnt.items() if ".lora_B." in name)


def test_transformer_lens_loads_it(baked):
    bridge = pytest.importorskip("transformer_lens.model_bridge")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hf = AutoModelForCausalLM.from_pretrained(
        baked.folder("export"), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(baked.folder("export"))
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        expected = hf(ids).logits
        lens = bridge.TransformerBridge.boot_transformers(
            str(baked.folder("export")), hf_model=hf, tokenizer=tokenizer, device="cpu"
        )
        assert torch.allclose(lens(ids), expected, atol=1e-4)


# Killed, and faults


class Killed(BaseException):
    """Stands for what can't be caught."""


def stop_at(monkeypatch, step: int) -> None:
    from chorus.distill import training

    real = training._Tell.on_log

    def on_log(self, args, state, control, **more):
        real(self, args, state, control, **more)
        if state.global_step == step:
            raise Killed

    monkeypatch.setattr(training._Tell, "on_log", on_log)


@pytest.mark.parametrize(("step", "at"), [("sft", 3), ("bake", 2), ("rl", 3)])
def test_a_resumed_run_equals_one_that_was_never_stopped(baked, up_to, monkeypatch, step, at):
    place = up_to(step)
    with monkeypatch.context() as patch:
        stop_at(patch, at)
        with pytest.raises(Killed):
            trained(place, step, silent)
    assert card(place, step)["status"] == "stopped"
    said: list[str] = []
    trained(place, step, said.append)
    assert f"{step}: going on from checkpoint-{at - 1}" in said
    assert equal(weights(place, step), weights(baked, step))
    assert card(place, step)["status"] == "done"


def test_a_process_that_is_killed_goes_on_from_its_last_checkpoint(baked, up_to, workshop_folder):
    place = up_to("rl")
    with start("distill", "rl", "--recipe", "tiny.toml", "--out", str(place.out), cwd=workshop_folder) as process:
        saved = place.folder("rl") / "checkpoint-2" / manifest.MANIFEST
        until = time.monotonic() + 600
        while not saved.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert saved.exists()
    assert card(place, "rl")["status"] == "running"
    trained(place, "rl", silent)
    assert equal(weights(place, "rl"), weights(baked, "rl"))


def test_a_full_disk_leaves_the_last_good_checkpoint(baked, up_to, monkeypatch):
    from transformers import Trainer

    place = up_to("sft")
    real = Trainer._save_optimizer_and_scheduler

    def save(self, folder):
        real(self, folder)
        if self.state.global_step == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_optimizer_and_scheduler", save)
        with pytest.raises(NotWritten, match="No space left on device; checkpoint-2 is whole"):
            trained(place, "sft", silent)
    assert [path.name for path in place.folder("sft").glob("checkpoint-*")] == ["checkpoint-2"]
    assert "No space left" in card(place, "sft")["reason"]
    assert not (place.folder("sft") / "adapter").exists()
    trained(place, "sft", silent)
    assert equal(weights(place, "sft"), weights(baked, "sft"))


def test_a_checkpoint_that_was_half_written_does_not_count(tmp_path):
    from chorus.distill.training import newest_checkpoint

    for step in (1, 2, 3):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_text("whole")
        if step < 3:
            manifest.write(folder, {})
    (tmp_path / "checkpoint-2" / "weights").write_text("cut")
    found = newest_checkpoint(tmp_path)
    assert found == tmp_path / "checkpoint-1"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


def test_a_reward_that_is_no_number_stops_the_run_by_name_and_overwrites_nothing(up_to, monkeypatch):
    place = up_to("rl")
    paid = rewards.formed
    calls: list[int] = []

    def odd(attempts):
        calls.append(1)
        return paid(attempts) if len(calls) < 3 else [math.nan] * len(attempts)

    monkeypatch.setattr(rewards, "formed", odd)
    with pytest.raises(RewardFault, match="the reward 'formed' paid nan"):
        trained(place, "rl", silent)
    assert card(place, "rl")["status"] == "stopped"
    assert "'formed'" in card(place, "rl")["reason"]
    assert (place.folder("rl") / "checkpoint-2" / manifest.MANIFEST).is_file()
    assert not (place.folder("rl") / "adapter").exists()


def test_a_collapsed_run_is_stopped_by_a_named_rule(up_to, monkeypatch):
    place = up_to("rl")
    changes = {"limits": Limits(patience=2), "rewards": Rewards(correct=1.0)}
    rl = place.recipe.rl.model_copy(update=changes)
    place = Place(place.recipe.model_copy(update={"rl": rl}), place.out)
    monkeypatch.setattr(rewards, "correct", lambda attempts: [0.5] * len(attempts))
    with pytest.raises(Collapsed, match="'flat rewards'"):
        trained(place, "rl", silent)
    assert "at step 2 by the rule 'flat rewards'" in card(place, "rl")["reason"]


def test_a_run_ends_when_its_tokens_are_used_up(up_to):
    place = up_to("rl")
    rl = place.recipe.rl.model_copy(update={"rollout_tokens": 150})
    trained(Place(place.recipe.model_copy(update={"rl": rl}), place.out), "rl", silent)
    found = card(place, "rl")
    assert found["status"] == "done"
    assert found["metrics"]["steps"] < 4
    assert found["metrics"]["rollout_tokens"] >= 150


def test_tokens_used_up_end_a_run_well_though_it_would_be_stopped_at_that_step(up_to, monkeypatch):
    place = up_to("rl")
    rl = place.recipe.rl.model_copy(
        update={"limits": Limits(patience=1), "rewards": Rewards(correct=1.0), "rollout_tokens": 1}
    )
    monkeypatch.setattr(rewards, "correct", lambda attempts: [0.5] * len(attempts))
    trained(Place(place.recipe.model_copy(update={"rl": rl}), place.out), "rl", silent)
    assert card(place, "rl")["status"] == "done"
    assert (place.folder("rl") / "adapter").is_dir()


# Other ways


@pytest.mark.parametrize("name", recipe.BUILT_IN)
def test_trl_takes_the_settings_of_every_recipe_and_arm(name, tmp_path):
    from chorus.distill import bake, rl, sft

    for arm in (None, *arms_of(name)):
        for step in (sft, bake, rl):
            assert step.settings(recipe.load(name, arm), tmp_path).max_steps > 0


def test_a_setting_that_trl_does_not_have_is_named(tmp_path):
    from chorus.distill import sft

    path = tmp_path / "odd.toml"
    path.write_text("[sft]\nsteps = 1\nbatch = 1\nlearning_rate = 0.1\ntrainer = { weight_decai = 0.1 }\n")
    with pytest.raises(ConfigError, match="no setting 'weight_decai'; did you mean weight_decay"):
        sft.settings(recipe.load(str(path)), tmp_path)


def test_full_weights_of_a_model_without_a_chat_template(tmp_path):
    file = set_up(tmp_path, str(tiny_model(tmp_path / "model", template=False)))
    file.write_text(file.read_text().replace("batch = 2\n", 'batch = 2\nweights = "full"\n'))
    place = place_of(file, tmp_path / "out")
    collect(place)
    for step in ("sft", "bake", "rl", "export"):
        trained(place, step, silent)
    assert (place.folder("bake") / "model" / "config.json").is_file()
    assert card(place, "bake")["metrics"]["moved"] > 0
    assert (place.folder("rl") / "adapter").is_dir()
    assert ledger.done(place.folder("export"))["weights"]["checkpoint"] == checkpoints.fingerprint(
        place.folder("export")
    )
