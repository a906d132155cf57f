r"""Whether two mathematical expressions are the same, by math-verify, on input that can't hurt.

Answers are written by a model, so nothing of them is run and none may keep a thread busy. math-verify's own time limit
is a signal, which only the main thread can use; three bounds stand in for it:

- *Before parsing*, only short text of known characters, commands and words passes (`latex`). It goes to an ANTLR
  grammar and not to `sympy.parse_expr`, which evaluates Python: that sees single numbers only, which sympy makes so.
- *Before comparing*, no number or power in the parsed tree may grow beyond `_MAX_WEIGHT` digits, as `9^{9^{9}}` would.
- *While parsing and comparing*, Python calls are counted, and the work is dropped when a budget of them is spent. The
  grammar alone can take exponential time on forty characters. Calls, unlike seconds, don't depend on the load.

What a bound refuses is not refused an answer: it is compared as text by the caller.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

from chorus.debate.grading.latex import to_latex
from chorus.debate.grading.numerals import told_apart, value

Tree: TypeAlias = Any
"""What math-verify makes of an expression: a `sympy.Basic` or a matrix. sympy comes without types."""

_PARSE_CALLS = 1_000_000
_SAMPLE_CALLS = 100_000
_COMPARE_CALLS = 300_000
"""Python calls that a parse, an evaluation and a comparison may take. A million take about a second."""

_MAX_WEIGHT = 1_000
"""Digits that a number may have when worked out, and degree that a power of symbols may have."""


class _Spent(BaseException):
    """The budget of calls is used up. Not an `Exception`: math-verify swallows those and carries on."""


class Reader:
    """Parses and compares expressions within one budget of work, so that many answers together stay bounded too.

    math-verify and sympy are imported on the first use that needs them, which takes about a second.
    """

    def __init__(self, calls: int = 5_000_000) -> None:
        self._left = calls
        self._read: dict[str, tuple[Tree, complex | None] | None] = {}

    def same(self, a: str, b: str) -> bool:
        """Say whether two expressions are equal. Symmetric; `False` for what can't be read within the bounds."""
        left, right = value(a, bare=True), value(b, bare=True)
        if left is not None and right is not None:
            return told_apart(left) == told_apart(right)
        one, other = self._reading(a), self._reading(b)
        if one is None or other is None or _far_apart(one[1], other[1]):
            return False
        return self._verify(one[0], other[0]) or self._verify(other[0], one[0])

    def _reading(self, text: str) -> tuple[Tree, complex | None] | None:
        if text not in self._read:
            latex = to_latex(text)
            tree = None if latex is None else self._spend(_PARSE_CALLS, lambda: _parse(latex))
            usable = tree is not None and weight(tree) <= _MAX_WEIGHT
            self._read[text] = (tree, self._spend(_SAMPLE_CALLS, lambda: _sample(tree))) if usable else None
        return self._read[text]

    def _verify(self, gold: Tree, target: Tree) -> bool:
        return bool(self._spend(_COMPARE_CALLS, lambda: _math_verify().verify(gold, target, timeout_seconds=None)))

    def _spend(self, calls: int, work: Callable[[], Any]) -> Any:
        """Do the work within the calls that are left; `None` when they don't suffice."""
        _math_verify()
        counter = _Counter(min(calls, self._left))
        try:
            with counter:
                return work()
        except _Spent:
            return None
        finally:
            self._left = max(0, self._left - counter.used)


class _Counter:
    """Counts the Python calls of this thread, and raises `_Spent` in the one that is too many.

    Where a profiler already listens, there is no room for a second one, and nothing is counted.
    """

    def __init__(self, calls: int) -> None:
        self.used = 0
        self._calls = calls
        self._counts = False

    def __enter__(self) -> None:
        self._counts = sys.getprofile() is None
        if self._counts:
            sys.setprofile(self._on_event)

    def __exit__(self, *_: object) -> None:
        if self._counts:
            sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            self.used += 1
            if self.used > self._calls:
                raise _Spent


def weight(node: Tree) -> float:
    """Bound the digits of the largest number that working out a sympy tree can make, and the degree of its powers.

    A sum or product weighs what its parts weigh together, a power its base times the exponent; an exponent that is
    itself an expression counts as ten to its weight.
    """
    kind = type(node).__name__
    parts = node.flat() if hasattr(node, "flat") else getattr(node, "args", ())
    if getattr(node, "is_Rational", False):
        return 1 + math.log10(max(abs(node.p), node.q))
    if not parts:
        return 16.0 if getattr(node, "is_Float", False) else 1.0
    if kind == "factorial":
        return 2.0 * float(node.args[0]) if _small(node.args[0]) else math.inf
    if kind in ("Pow", "exp", "sinh", "cosh", "tanh"):
        base, exponent = node.args if kind == "Pow" else (1, node.args[0])
        return (weight(base) if kind == "Pow" else 1.0) * _growth(exponent)
    return sum(weight(part) for part in parts)


def _small(node: Tree) -> bool:
    return bool(getattr(node, "is_Integer", False)) and 0 <= int(node) <= 100


def _growth(exponent: Tree) -> float:
    if getattr(exponent, "is_Number", False):
        return max(1.0, abs(float(exponent)))
    heavy = weight(exponent)
    if getattr(exponent, "free_symbols", None):
        return heavy
    return math.inf if heavy > 9 else 10.0**heavy


def _sample(tree: Tree) -> complex | None:
    """Evaluate a tree with a number between 1 and 2 for each symbol; `None` for sets, relations and what has no value.

    Two expressions that are far apart here are not equal, and needn't be simplified to find out.
    """
    try:
        point = {symbol: 1 + math.modf(sum(map(ord, symbol.name)) * 0.6180339887)[0] for symbol in tree.free_symbols}
        found = complex(tree.subs(point).evalf(15))
    except Exception:  # noqa: BLE001 sympy raises whatever it likes
        return None
    return found if math.isfinite(abs(found)) else None


def _far_apart(one: complex | None, other: complex | None) -> bool:
    return one is not None and other is not None and abs(one - other) > 1e-3 * (1 + abs(one) + abs(other))


def _parse(latex: str) -> Tree | None:
    library = _math_verify()
    found = library.parse(
        f"${latex}$",
        extraction_config=[library.LatexExtractionConfig(boxed_match_priority=-1)],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return found[0] if found else None


def _math_verify() -> Any:
    library = importlib.import_module("math_verify")
    # Both say once, on stderr, that whoever turns the time limit off must bound the work. `Reader` does.
    for part in ("math_verify.parser", "math_verify.grader"):
        setattr(importlib.import_module(part), "TIMEOUT_WARNING_SHOWN", True)  # noqa: B010
    return library
