"""Step 3, `bake`: on-policy distillation of the protocol into the weights.

Student and teacher are one model. The teacher reads the charter, every persona's card and the rules of the dialogue (what
`--mode inner` reads); the student reads the question in the style `chorus` and nothing else. The student speaks, and is
drawn to how the teacher would have gone on at each token. What the teacher knows beyond the student is the same for
every question: rules can be learnt so, a transcript of this very question can't (2605.11182).

TRL's self-distillation trainer is experimental, so all that we lean on stands here: the teacher's prompt is ours, whole
and never cut; the loss is over the full vocabulary; the teacher of a LoRA is the adapter as it was at the start.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

from datasets import Dataset
from peft import PeftModel
from trl.experimental.sdft import SDFTConfig, SDFTTrainer
from trl.experimental.sdft.sdft_trainer import DemonstrationTeacherContextBuilder
from trl.trainer.utils import use_adapter

from chorus.distill import cast, collect, columns
from chorus.distill.divergence import by_decile, token_kl
from chorus.distill.ledger import Run
from chorus.distill.recipe import Recipe
from chorus.distill.styles import messages
from chorus.distill.training import Report, SavesWhole, Start, arguments, open_model, train
from chorus.engines.templating import ChatTemplate
from chorus.errors import ConfigError
from chorus.question_file import read_questions
from chorus.types import Message, Question

TEACHER = "start"
"""Name of the frozen copy of an adapter that was there before."""


class _Protocol(DemonstrationTeacherContextBuilder):
    """The teacher's prompt is the privileged context itself, not the student's with something added."""

    def _compose_teacher_prompt(self, prompt: Any, privileged_context: Any) -> Any:
        return privileged_context


class _Trainer(SavesWhole, SDFTTrainer):
    """TRL's, with our teacher, whole checkpoints and KL by token decile."""

    def __init__(self, *, start: Start, **settings: Any) -> None:
        super().__init__(**settings)
        self.teacher_context_builder = _Protocol(self)
        if start.adapter and isinstance(self.model, PeftModel):
            self.model.load_adapter(start.adapter, adapter_name=TEACHER, is_trainable=False)

    def _setup_teacher_model(self) -> None:
        if isinstance(self.model, PeftModel):
            super()._setup_teacher_model()
            return
        # TRL would load it from wherever the model's config says that it came from, whatever was merged into it since.
        teacher = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.teacher_model = self.accelerator.prepare_model(teacher, evaluation_mode=True)

    def _get_teacher_context_for_self_distillation(self) -> Any:
        if isinstance(self.model, PeftModel) and TEACHER in self.model.peft_config:
            return use_adapter(self.accelerator.unwrap_model(self.teacher_model), adapter_name=TEACHER)
        return super()._get_teacher_context_for_self_distillation()

    def _compute_self_distillation_loss(self, model: Any, inputs: Any, distillation_logits: Any) -> Any:
        kl = token_kl(distillation_logits.student_logits.detach(), distillation_logits.teacher_logits)
        logged = self._metrics["train" if model.training else "eval"]
        for number, value in enumerate(by_decile(kl, distillation_logits.loss_mask), 1):
            if value is not None:
                logged[f"kl/decile_{number}"].append(value)
        return super()._compute_self_distillation_loss(model, inputs, distillation_logits)


def distil(recipe: Recipe, start: Start, collected: Path, run: Run, report: Report) -> None:
    """Distil the protocol over the questions in `collected`.

    Raises:
        ConfigError: a setting doesn't fit, or a prompt with its completion is longer than the model reads.
        CheckpointError: the weights can't be loaded. NotWritten: something could not be saved.
    """
    part = recipe.bake
    model, tokenizer, lora = open_model(start, part)
    speakers = cast.read(collected)

    def protocol(question: Question) -> tuple[Message, ...]:
        dealt = speakers.shuffled(f"{recipe.seed}:{question.id}") if part.shuffle_methods else speakers
        return dealt.protocol(question)

    pairs = [
        (messages(question, "chorus"), protocol(question)) for question in read_questions(collected / collect.QUESTIONS)
    ]
    _check_room(model, tokenizer, [teacher for _, teacher in pairs], part.max_tokens)
    data = Dataset.from_list(
        [
            {"prompt": columns.prompt(own, tokenizer), "privileged_context": columns.prompt(teacher, tokenizer)}
            for own, teacher in pairs
        ]
    )
    trainer = _Trainer(
        start=start,
        model=model,
        args=settings(recipe, run.folder),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora,
    )
    train(trainer, run, report)
    lengths = [
        entry["completions/mean_length"] for entry in trainer.state.log_history if "completions/mean_length" in entry
    ]
    run.metrics["rollout_tokens"] = sum(lengths) * part.batch


def settings(recipe: Recipe, folder: Path) -> Any:
    """Return TRL's settings for the step. Raises ConfigError."""
    part = recipe.bake
    return arguments(
        SDFTConfig,
        recipe,
        part,
        folder,
        num_generations=part.generations,
        max_completion_length=part.max_tokens,
        max_prompt_length=None,  # any other cuts the teacher's prompt from the left, its charter first
        temperature=part.temperature,
        teacher_model_kind="base",
        distillation_mode="full_logits",
        distillation_alpha=part.alpha,
    )


def _check_room(model: Any, tokenizer: Any, prompts: Sequence[Any], max_tokens: int) -> None:
    template = ChatTemplate(tokenizer)
    longest = max(len(template.encode(prompt)) for prompt in prompts) + max_tokens
    if longest > model.config.max_position_embeddings:
        raise ConfigError(
            f"the longest prompt of the teacher needs {longest} tokens with its completion, and the model reads "
            f"{model.config.max_position_embeddings}: name fewer personas, or lower bake.max_tokens"
        )
