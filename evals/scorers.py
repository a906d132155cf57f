"""The scorer: an answer is right if the one grader says so."""

from __future__ import annotations

from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState

from chorus.debate import grade
from chorus.types import Question
from evals import samples
from evals.naming import named
from evals.outcomes import outcome


@scorer(metrics=[accuracy(), stderr()], name=named("graded"))
def graded() -> Scorer:
    """Compare a debate's answer, or what any other solver wrote, with the right one.

    A score of a debate says how sure it was and what it cost: `confidence`, `computed_tokens`, `calls`, `status`.
    """

    async def score(state: TaskState, target: Target) -> Score:
        record = samples.kept(state.store)
        if record is None:
            return _of_text(samples.question(state), state.output.completion, target.text)
        question = record.question.model_copy(update={"answer": target.text})
        row = outcome(record.model_copy(update={"question": question}), "", "", "")
        return Score(
            value=CORRECT if row.correct else INCORRECT,
            answer=record.answer,
            explanation=record.reason,
            metadata={
                "confidence": row.confidence,
                "computed_tokens": row.computed_tokens,
                "calls": row.calls,
                "status": row.status,
            },
        )

    return score


def _of_text(question: Question, text: str, gold: str) -> Score:
    kind, choices = grade.infer_kind(question), grade.infer_choices(question)
    answer = grade.extract(text, kind, choices)
    right = answer is not None and grade.same(answer, gold, kind, choices)
    return Score(value=CORRECT if right else INCORRECT, answer=answer, explanation=text)
