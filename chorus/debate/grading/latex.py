r"""Mathematics as a model writes it, made into LaTeX that is safe to parse.

Models mix plain text (`(x+1)**2`, `sqrt(8)`, `x²`) and LaTeX. One form of both comes out of here, or none: text that is
long, or has characters, commands or words beyond the lists below, never reaches a parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from chorus.debate.grading.numerals import value

MAX_EXPRESSION = 200
"""Characters beyond which an expression is compared as text."""

_GREEK = (
    r"(?:var)?epsilon|(?:var)?theta|(?:var)?phi|alpha|beta|[Dd]elta|zeta|eta|Theta|iota|kappa|[Ll]ambda|mu|nu|[Xx]i|[Pp]i"
    r"|rho|[Ss]igma|tau|[Uu]psilon|Phi|chi|[Pp]si|[Oo]mega"
)
_FUNCTIONS = r"sqrt|(?:arc)?(?:sin|cos|tan)h?|cot|sec|csc|log|ln|exp"
_COMMAND = re.compile(
    rf"\\(?:{_GREEK}|{_FUNCTIONS}|[dtc]?frac|times|cdot|div|pm|leq?|leqslant|geq?|geqslant|lt|gt|neq?|approx|infty|left"
    r"|right|cup|cap|in|setminus|emptyset|varnothing|[lr](?:floor|ceil|vert))"
)
_MATRIX = re.compile(r"\\(?:begin|end)\{[pb]?matrix\}")
_OPENER = re.compile(r"(?:\\sqrt|\^)\s?\(")

_SYMBOLS = str.maketrans(
    {"−": "-", "–": "-", "×": r" \times ", "·": r" \cdot ", "⋅": r" \cdot ", "÷": "/", "∞": r" \infty ", "π": r" \pi "}
    | {"≤": r" \le ", "≥": r" \ge ", "≠": r" \ne ", "±": r" \pm ", "∪": r" \cup ", "∩": r" \cap ", "∈": r" \in "}
    | {"θ": r" \theta ", "α": r" \alpha ", "β": r" \beta ", "°": "", "√": r" sqrt"}
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_REWRITES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]{1,6}"), lambda run: "^{" + run[0].translate(_RAISED) + "}"),
    (re.compile(r"\^\s?\{?\\circ\}?"), ""),
    (re.compile(r"\\(?:text|mathrm|textbf|mbox)\s?\{\s?(?:and|or)\s?\}"), " , "),
    (re.compile(r"\\(?:text|mathrm|textbf|mbox)\s?\{[A-Za-z .]{0,30}\}(?:\^\{?[23]\}?)?"), " "),
    (re.compile(r"\\(?:displaystyle|limits|q?quad)(?![a-z])"), " "),
    (re.compile(r"\$|(?<!\\)\\[()\[\],;:! ]"), " "),
    (re.compile(r"\\\\(?=[A-Za-z])"), r"\\\\ "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"<=|=<"), r" \\le "),
    (re.compile(r">="), r" \\ge "),
    (re.compile(r"!="), r" \\ne "),
    (re.compile(r"=="), "="),
    # Plain text means all digits of an exponent, where LaTeX would take the first.
    (re.compile(r"\^\s?(-?[0-9]{2,12}|-[0-9])"), r"^{\1}"),
    (re.compile(r"\bsqrt\s?([0-9]{1,12}|[a-z]\b)"), r"sqrt(\1)"),
    (re.compile(rf"(?<![\\A-Za-z])({_FUNCTIONS}|{_GREEK}|infty)(?![a-z])"), r"\\\1 "),
    (re.compile(r"(?<![\\a-z])(?:infinity|inf|oo)(?![a-z])"), r"\\infty "),
)
_ALLOWED = re.compile(r"[A-Za-z0-9+\-*/^=<>().,:;\[\]{}|!_&%\\ ]+")
_NAMES = re.compile(r"\\?[A-Za-z]+")
_TOO_MUCH = re.compile(r"[0-9]{31}|[0-9][eE][-+]?[0-9]{2}|__|\)!|!!|\}!|(?:[(\[{|]\s?){12}")


def to_latex(text: str) -> str | None:
    """Write an expression, plain or LaTeX, as the LaTeX that is safe to parse; `None` where it is not."""
    if len(text) > MAX_EXPRESSION:
        return None
    number = value(text, bare=True)
    if number is not None and "." not in text:
        return f"\\frac{{{number.numerator}}}{{{number.denominator}}}" if number.denominator > 1 else str(number)
    latex = text.translate(_SYMBOLS)
    for pattern, instead in _REWRITES:
        latex = pattern.sub(instead, latex)
    latex = _braced(latex).strip(" .,;:*_`")
    if not latex or len(latex) > 2 * MAX_EXPRESSION or not _ALLOWED.fullmatch(latex) or _TOO_MUCH.search(latex):
        return None
    return latex if _known_names(latex) else None


def _known_names(latex: str) -> bool:
    """Whether every command is on the list, and every bare word is short enough to be a product of letters."""
    names = _NAMES.findall(_MATRIX.sub(" ", latex))
    return all(_COMMAND.fullmatch(name) if name[0] == "\\" else len(name) <= 3 for name in names)


def _braced(latex: str) -> str:
    r"""Turn the parentheses of `^(…)` and `\sqrt(…)` into braces."""
    while opener := _OPENER.search(latex):
        start = opener.end() - 1
        end = _closing(latex, start)
        if end is None:
            break
        latex = f"{latex[:start]}{{{latex[start + 1 : end]}}}{latex[end + 1 :]}"
    return latex


def _closing(latex: str, start: int) -> int | None:
    depth = 0
    for place in range(start, len(latex)):
        depth += {"(": 1, ")": -1}.get(latex[place], 0)
        if depth == 0:
            return place
    return None
