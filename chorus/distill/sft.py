"""Step 2, `sft`: a warm start on the collected rows, so that the model knows both ways of answering."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from chorus.distill import collect, columns, mix
from chorus.distill.ledger import Run
from chorus.distill.recipe import Recipe
from chorus.distill.speaking import replies
from chorus.distill.styles import messages
from chorus.distill.training import Report, SavesWhole, Start, arguments, open_model, train
from chorus.engines.templating import ChatTemplate
from chorus.errors import RecordError
from chorus.question_file import read_questions
from chorus.types import Message


class _Trainer(SavesWhole, SFTTrainer):
    """TRL's, with whole checkpoints."""


def warm_up(recipe: Recipe, start: Start, collected: Path, run: Run, report: Report) -> None:
    """Train on the rows in `collected`.

    Raises:
        RecordError: there is nothing to train on. ConfigError: a setting doesn't fit.
        QuestionError: the questions of other tasks can't be read.
        CheckpointError: the weights can't be loaded. NotWritten: something could not be saved.
    """
    part = recipe.sft
    model, tokenizer, lora = open_model(start, part)
    examples = mix.mixed(mix.read_rows(collected / collect.ROWS), part, recipe.seed)
    chat = _ordinary(recipe, len(examples), model, tokenizer, report)
    if part.replay.share == 1.0:
        examples = []
    if not (examples or chat):
        raise RecordError("there is nothing to train on: no rows, and no ordinary chat in their place")
    kept = [example for example in [*examples, *chat] if _length(example, tokenizer) <= part.max_length]
    run.metrics |= {"examples": len(examples), "replayed": len(chat), "too_long": len(examples) + len(chat) - len(kept)}
    data = Dataset.from_list(
        [
            {"prompt": columns.prompt(prompt, tokenizer), "completion": columns.completion(text, tokenizer)}
            for prompt, text in kept
        ]
    )
    args = settings(recipe, run.folder)
    trainer: Any = _Trainer(model=model, args=args, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    train(trainer, run, report)


def settings(recipe: Recipe, folder: Path) -> Any:
    """Return TRL's settings for the step. Raises ConfigError."""
    return arguments(SFTConfig, recipe, recipe.sft, folder, max_length=None, completion_only_loss=True)


def _ordinary(recipe: Recipe, count: int, model: Any, tokenizer: Any, report: Report) -> list[mix.Example]:
    """Return ordinary chat: the user's own, or what the model says to everyday prompts before it is trained.

    Where the recipe names questions of other tasks, half of it is what the model says to those.
    """
    replay = recipe.sft.replay
    wanted = mix.replayed(count, replay.share)
    if not wanted:
        return []
    said = partial(_said, model, tokenizer, replay.max_tokens, report)
    answers: list[mix.Example] = []
    if replay.others:
        questions, styles = list(read_questions(recipe.file(replay.others))), mix.styles_of(recipe.sft.mix)
        asked = [messages(question, style) for question in questions for style in styles]
        answers = _around(said(asked, "prompts of other tasks"), wanted // 2)
    left = wanted - len(answers)
    own = list(mix.chats(recipe.file(replay.file))) if replay.file else said(mix.everyday()[:left], "everyday prompts")
    chat = _around(own, left)
    return (mix.in_styles(chat, recipe.sft.mix) if replay.styled else chat) + answers


def _said(
    model: Any, tokenizer: Any, max_tokens: int, report: Report, prompts: Sequence[Sequence[Message]], what: str
) -> list[mix.Example]:
    """Return what the model says to prompts, without what did not end: it must not learn to stop amid a sentence."""
    report(f"sft: the model says what it says to {len(prompts)} {what}")
    spoken = replies(model, tokenizer, prompts, max_tokens=max_tokens)
    ended = [(tuple(prompt), reply.text) for prompt, reply in zip(prompts, spoken, strict=True) if reply.ended]
    if not ended:
        report(f"sft: no reply to {what} ended within {max_tokens} tokens, so there is none in the mix")
    return ended


def _around(examples: Sequence[mix.Example], count: int) -> list[mix.Example]:
    """Return so many examples, going round as often as it takes; none of none."""
    return [examples[at % len(examples)] for at in range(count)] if examples else []


def _length(example: mix.Example, tokenizer: Any) -> int:
    prompt, text = example
    return len(ChatTemplate(tokenizer).encode(prompt)) + len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 2
