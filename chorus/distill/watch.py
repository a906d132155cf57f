"""What keeps an eye on a reinforcement run: measurements on held-out questions, and the reasons to end it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

from chorus.distill.attempts import Attempt
from chorus.distill.cast import Cast
from chorus.distill.collapse import check, saturated
from chorus.distill.recipe import Rl
from chorus.distill.scores import scores
from chorus.distill.speaking import Reply, replies
from chorus.distill.styles import Style, messages
from chorus.types import Question


class Goldsmith(TrainerCallback):
    """Measures on held-out questions: the greedy answer, and the same figures over samples as are logged in training.

    `gold/accuracy` is that of greedy answers in the first style, `gold/accuracy_STYLE` that of each. Step 0 is the model
    as it came in: what it has learnt is the difference to that.
    """

    def __init__(
        self, trainer: Any, tokenizer: Any, questions: Sequence[Question], part: Rl, cast: Cast, seed: int
    ) -> None:
        self._trainer, self._tokenizer = trainer, tokenizer
        self._questions, self._part, self._cast, self._seed = questions, part, cast, seed

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure before the first step."""
        if state.global_step == 0:
            self._trainer.log(self.measure())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure every so many steps, before the step is logged."""
        if state.global_step % self._part.gold.every == 0 or state.global_step == state.max_steps:
            self._trainer.note(self.measure())

    def measure(self) -> dict[str, float]:
        """Return the figures."""
        found: dict[str, float] = {}
        for style in self._part.styles:
            greedy = self._attempts(style, 1, 0.0)
            found[f"gold/accuracy_{style}"] = sum(bool(one.right) for one in greedy) / len(greedy)
        found["gold/accuracy"] = found[f"gold/accuracy_{self._part.styles[0]}"]
        drawn = [
            attempt
            for style in self._part.styles
            for attempt in self._attempts(style, self._part.gold.samples, self._part.temperature)
        ]
        return found | {f"gold/{name}": value for name, value in scores(drawn).items()}

    def _attempts(self, style: Style, times: int, temperature: float) -> list[Attempt]:
        asked = [question for question in self._questions for _ in range(times)]
        said: list[Reply] = replies(
            self._trainer.accelerator.unwrap_model(self._trainer.model),
            self._tokenizer,
            [messages(question, style) for question in asked],
            max_tokens=self._part.max_tokens,
            temperature=temperature,
            seed=self._seed,
        )
        return [
            Attempt(question, style, reply.text, reply.tokens, self._cast)
            for question, reply in zip(asked, said, strict=True)
        ]


class Ender(TrainerCallback):
    """Ends a run: when it has collapsed, with an error; when nothing is left to learn or its tokens are used up, well."""

    def __init__(self, part: Rl) -> None:
        self._part = part

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at what was logged. Raises Collapsed."""
        written = max((entry.get("rollout_tokens", 0) for entry in state.log_history), default=0)
        used_up = self._part.rollout_tokens is not None and written >= self._part.rollout_tokens
        if used_up or saturated(state.log_history, self._part.limits):
            control.should_training_stop = True
        else:
            check(state.log_history, self._part.limits)
