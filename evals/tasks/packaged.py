"""Questions that ship inside Python packages: real ones, on hand without a network, and possibly learnt by heart.

They stood on public pages before they stood in a package, so a model may have been trained on them. They are dealt to
the splits by their text like all others, which says nothing about what a model has seen.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from chorus.debate import grade
from chorus.errors import QuestionError
from evals.tasks.splits import Split
from evals.tasks.task import Item, Task

_SEEN = "public for years: a model may have been trained on it"
_INSPECT = ("inspect_ai", "dataset/_examples", "inspect-ai")
_LM_EVAL = ("lm_eval", "tasks/mmlu/flan_cot_fewshot", "lm-eval")


def tasks() -> Iterator[Task]:
    """Yield them. That a package isn't there is told when a question is asked for."""
    for name, kind, read in (("biology", None, _biology), ("theory-of-mind", "short", _minds)):
        source = f"inspect-ai, example {read.__name__.strip('_')}"
        yield Task(name, kind, source, "MIT", _always(read), seen=_SEEN, extra="inspect-ai")  # type: ignore[arg-type]
    yield Task("mmlu-dev", "choice", "lm-eval, MMLU dev", "MIT", _always(_mmlu), seen=_SEEN, extra="lm-eval")


def _biology() -> Iterator[Item]:
    """Short questions; those that ask for true or false are answered by yes or no."""
    for row in _rows("biology_qa.jsonl"):
        text, answer = row["question"], str(row["answer"])
        kind = "yesno" if answer in ("True", "False") else "number" if answer.isdigit() else "short"
        yield Item(text, {"True": "yes", "False": "no"}.get(answer, answer), kind=kind)  # type: ignore[arg-type]


def _minds() -> Iterator[Item]:
    """Where somebody will look for a thing that was moved."""
    for row in _rows("theory_of_mind.jsonl"):
        yield Item(row["input"][0]["content"], row["target"])


def _mmlu() -> Iterator[Item | None]:
    """Four or five worked questions a subject; those whose options can't be told apart are passed over."""
    for file in sorted(_folder(*_LM_EVAL).glob("mmlu_*.yaml")):
        for sample in yaml.load(file.read_text("utf-8"), _AnyTag).get("fewshot_config", {}).get("samples") or ():
            yield _worked(sample)


def _worked(sample: dict[str, str]) -> Item | None:
    text, _, listed = sample["question"].partition("\n(A)")
    options = re.split(r"\s*\(([B-D])\)\s*", listed)
    right = re.search(r"answer is \(([A-D])\)", sample["target"])
    if options[1::2] != ["B", "C", "D"] or not right:
        return None
    choices = tuple(" ".join(option.split()) for option in options[::2])
    if not all(choices) or len(grade.classes(choices, "short")) < len(choices):
        return None
    return Item(" ".join(text.split()), right[1], choices)


class _AnyTag(yaml.SafeLoader):
    """Reads YAML, and takes what bears an unknown tag for nothing: lm-eval's files name functions of its own."""


_AnyTag.add_multi_constructor("!", lambda loader, suffix, node: None)


def _always(read: Callable[[], Iterator[Item | None]]) -> Callable[[Split], Iterator[Item | None]]:
    return lambda split: read()


def _rows(name: str) -> Iterator[dict[str, Any]]:
    for line in (_folder(*_INSPECT) / name).read_text("utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def _folder(package: str, inside: str, distribution: str) -> Path:
    """Return a folder of an installed package, without importing it. Raises QuestionError."""
    found = importlib.util.find_spec(package)
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise QuestionError(f"these questions come with the package {distribution}: pip install {distribution}")
    folder = Path(places[0], inside)
    if not folder.is_dir():
        raise QuestionError(f"the installed {distribution} holds no {inside}: its layout has changed")
    return folder
