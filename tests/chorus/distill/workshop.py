"""What tests of distillation work with: a script in which voices are corrected, and a model as small as can be."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import yaml

from chorus import Chorus, checkpoints
from chorus.distill import recipe
from chorus.types import Answer, Question

CAST = "skeptic,estimator,formalist"

SCRIPT = {
    "turns": [
        {"turn": "1.skeptic", "text": "I doubt that it is more.\nAnswer: 54", "confidence": 0.5},
        {"turn": "1.formalist", "text": "By the rule it comes to this. Answer: 63", "confidence": 0.4},
        {"turn": "2.formalist", "text": "So I was off by one group. Answer: 54", "confidence": 0.5},
        {"turn": "*.estimator", "text": "It must be near 55, so it is 56.\nAnswer: 56", "confidence": 0.9},
        {"turn": "2.skeptic", "text": "I found my error: it is 56.\nAnswer: 56", "confidence": 0.8},
    ],
    "default": {"text": "Answer: 56"},
}
"""The skeptic is put right, the formalist goes from one wrong answer to another, the estimator keeps to the truth."""

SUMS = {"What is 7 * 8?": "56", "What is 50 + 6?": "56", "What is 60 - 4?": "56", "What is 9 * 9?": "81"}
"""The script gets the last one wrong."""

RECIPE = """
model = {model!r}
[collect]
questions = "train.jsonl"
[collect.chorus]
engine = "scripted:{folder}/script.yaml"
personas = "skeptic,estimator,formalist"
rounds = 2
decision = "borda"
[sft]
steps = 4
batch = 2
learning_rate = 1e-3
save_every = 2
rank = 4
replay = {{ share = 0.0 }}
[bake]
steps = 2
batch = 2
generations = 2
max_tokens = 8
learning_rate = 1e-3
save_every = 1
[rl]
steps = 4
batch = 16
generations = 8
max_tokens = 8
temperature = 1.0
learning_rate = 1e-2
save_every = 2
styles = ["answer", "chorus"]
rewards = {{ correct = 1.0, formed = 0.1, brief = 0.1 }}
gold = {{ questions = "dev.jsonl", every = 2, limit = 2, samples = 2 }}
limits = {{ patience = 50 }}
[export]
dtype = "float32"
checkpoints = [2, 3]
"""


def arms_of(name: str) -> tuple[str, ...]:
    """The names of the arms of one of the package's recipes."""
    text = Path(recipe.__file__).with_name("recipes").joinpath(f"{name}.toml").read_text("utf-8")
    return tuple(tomllib.loads(text).get("arms", {}))


def question(text: str = "What is 7 * 8?", answer: str | None = "56", name: str = "sums/train/1") -> Question:
    return Question(id=name, text=text, answer=answer, kind="number")


def write_questions(path: Path, sums: dict[str, str], split: str = "train") -> Path:
    lines = [
        {"id": f"sums/{split}/{number}", "question": text, "answer": answer, "kind": "number"}
        for number, (text, answer) in enumerate(sums.items(), 1)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def set_up(folder: Path, model: str = "smollm2-135m", changes: str = "") -> Path:
    """Write questions, script and recipe into a folder, and return the recipe's path."""
    write_questions(folder / "train.jsonl", SUMS)
    write_questions(folder / "dev.jsonl", {"What is 3 + 4?": "7", "What is 2 * 5?": "10"}, "dev")
    (folder / "script.yaml").write_text(yaml.safe_dump(SCRIPT), "utf-8")
    (folder / "tiny.toml").write_text(RECIPE.format(model=model, folder=folder) + changes, "utf-8")
    return folder / "tiny.toml"


def debated(folder: Path, asked: Question | None = None) -> Answer:
    """Hold one scripted debate."""
    (folder / "script.yaml").write_text(yaml.safe_dump(SCRIPT), "utf-8")
    with Chorus(f"scripted:{folder / 'script.yaml'}", CAST, rounds=2, decision="borda") as chorus:
        return chorus.ask(asked or question())


def tiny_model(folder: Path, *, template: bool = True) -> Path:
    """Save a Llama with the embedded model's tokenizer that babbles words of its tasks: now and then it is right."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(checkpoints.resolve("smollm2-135m"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    babble = tokenizer("Answer: 56\n", add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    with torch.no_grad():
        # Every hidden state shares a direction, and the head has it under the words to be babbled, and no others.
        model.model.embed_tokens.weight += 1.0
        model.lm_head.weight[babble] += 1.0
        # Digits come more often than the rest, so that some of a few dozen babbles are right, whatever the draw.
        model.lm_head.weight[[id for id in babble if tokenizer.decode(id) in ("5", "6")]] += 0.05
    model.save_pretrained(folder)
    if not template:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return folder
