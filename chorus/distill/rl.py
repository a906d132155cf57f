"""Step 4, `rl`: reinforcement by verifiable rewards, with TRL's GRPO.

The model answers train questions in the styles asked for, several times each; a group's rewards, less their mean, say
which answers to give more often. All that is watched goes through TRL's log, to TensorBoard and into `run.json`: each
reward, entropy and the share of groups without variance (TRL's own), pass@1, pass@k, consensus, distinctness, voices
corrected and misled (ours, see `scores`), and the same on held-out questions as `gold/…`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from chorus.distill import cast, collect, columns, rewards
from chorus.distill.attempts import Attempt
from chorus.distill.cast import Cast
from chorus.distill.ledger import Run
from chorus.distill.questions import to_measure_on, with_hidden_truth
from chorus.distill.recipe import Recipe, Rl
from chorus.distill.rewards import History, Reward
from chorus.distill.scores import scores
from chorus.distill.styles import messages
from chorus.distill.training import Report, SavesWhole, Start, arguments, open_model, train, weaken
from chorus.distill.watch import Ender, Goldsmith
from chorus.errors import ConfigError
from chorus.question_file import read_questions
from chorus.types import Question

Paid = Callable[..., list[float | None]]
"""A reward as TRL calls it."""


class _Trainer(SavesWhole, GRPOTrainer):
    """TRL's, with whole checkpoints."""

    def note(self, figures: Mapping[str, float]) -> None:
        """Have figures logged with the step that is under way."""
        for name, value in figures.items():
            self._metrics["train"][name].append(value)


def reinforce(
    recipe: Recipe, start: Start, collected: Path, run: Run, report: Report, *, gold: Path | None = None
) -> None:
    """Reinforce on the questions in `collected`.

    Args:
        recipe: what is run.
        start: the weights.
        collected: folder of the step `collect`.
        run: takes figures and hashes.
        report: is told of progress.
        gold: question file with answers, to measure on while training; `None` measures nothing.

    Raises:
        RewardFault: a reward failed; it is named. Collapsed: a rule stopped the run; it is named.
        ConfigError: a setting doesn't fit. QuestionError: the gold questions won't do.
        CheckpointError: the weights can't be loaded. NotWritten: something could not be saved.
    """
    part = recipe.rl
    speakers = cast.read(collected)
    questions = list(read_questions(collected / collect.QUESTIONS))
    measured = to_measure_on(gold, questions)[: part.gold.limit] if gold else []
    if part.rewards.consensus and not measured:
        raise ConfigError(
            "the consensus reward is scaled by what it is worth on held-out questions: name some (--gold)"
        )
    model, tokenizer, lora = open_model(start, part)
    weaken(dict(model.named_parameters()), part.strength)  # A checkpoint, where there is one, is loaded over it.
    data = Dataset.from_list(
        [
            {
                "prompt": columns.prompt(messages(question, style), tokenizer),
                "asked": question.model_dump_json(),
                "style": style,
            }
            for question in with_hidden_truth(questions, part.hidden, recipe.seed)
            for style in part.styles
        ]
    )
    chosen = chosen_rewards(part)
    trainer = _Trainer(
        model=model,
        reward_funcs=[
            paying(name, reward, speakers, first=at == 0) for at, (name, (reward, _)) in enumerate(chosen.items())
        ],
        args=settings(recipe, run.folder),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora,
    )
    if measured:
        trainer.add_callback(Goldsmith(trainer, tokenizer, measured, part, speakers, recipe.seed))
    trainer.add_callback(Ender(part))
    train(trainer, run, report)
    written = [entry["rollout_tokens"] for entry in trainer.state.log_history if "rollout_tokens" in entry]
    run.metrics["rollout_tokens"] = written[-1] if written else 0


def settings(recipe: Recipe, folder: Path) -> Any:
    """Return TRL's settings for the step. Raises ConfigError."""
    part = recipe.rl
    return arguments(
        GRPOConfig,
        recipe,
        part,
        folder,
        num_generations=part.generations,
        max_completion_length=part.max_tokens,
        temperature=part.temperature,
        beta=part.beta,
        reward_weights=[weight for _, weight in chosen_rewards(part).values()],
    )


def chosen_rewards(part: Rl) -> dict[str, tuple[Callable[[History], Reward], float]]:
    """Return the rewards that a recipe gives a weight, by name, each made of the history so far, with its weight.

    Raises:
        ConfigError: none has a weight, or one is for dialogues and none are asked for.
    """
    every: dict[str, Callable[[History], Reward]] = {
        "correct": lambda _: rewards.correct,
        "corrected": lambda _: rewards.corrected,
        "brief": lambda _: partial(rewards.brief, budget=part.length_budget),
        "formed": lambda _: rewards.formed,
        "consensus": lambda history: partial(rewards.consensus, history=history),
        "distinct": lambda _: rewards.distinct,
    }
    weights = part.rewards.model_dump()
    chosen = {name: (made, weights[name]) for name, made in every.items() if weights[name]}
    if not chosen:
        raise ConfigError("rl.rewards: every weight is 0, so there is nothing to reinforce")
    if "chorus" not in part.styles and (idle := {"corrected", "distinct"} & chosen.keys()):
        raise ConfigError(f"rl.rewards: {', '.join(sorted(idle))} looks at dialogues, and rl.styles asks for none")
    return chosen


def paying(name: str, made: Callable[[History], Reward], speakers: Cast, *, first: bool) -> Paid:
    """Return a reward in the form that TRL calls, under its own name in the log; the first one also keeps the scores."""

    def pay(
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        asked: Sequence[str],
        style: Sequence[Any],
        trainer_state: Any,
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        attempts = [
            Attempt(Question.model_validate_json(question), way, columns.said(text), len(ids), speakers)
            for question, way, text, ids in zip(asked, style, completions, completion_ids, strict=True)
        ]
        history: History = trainer_state.log_history
        if first:
            before = [entry["rollout_tokens"] for entry in history if "rollout_tokens" in entry]
            log_metric("rollout_tokens", (before[-1] if before else 0) + sum(attempt.tokens for attempt in attempts))
            for figure, value in scores(attempts).items():
                log_metric(figure, value)
        return rewards.checked(name, made(history))(attempts)

    pay.__name__ = name
    return pay
