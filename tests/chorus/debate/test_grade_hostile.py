"""Text made to run, to hang or to break the grader. A hang is caught by the suite's time limit."""

import logging
import re
import sys
import threading

import pytest

from chorus.debate import grade
from chorus.debate.grading.expressions import Reader
from chorus.debate.grading.latex import to_latex

BOMBS = [
    "9**9**9**9",
    "10^10^10",
    "2^(10^9)",
    "9^{9^{9^{9}}}",
    "((9^{99})^{99})^{99}",
    "e^{e^{e^{99}}}",
    "1000000!",
    "99!!",
    "((9!)!)!",
    r"\sum_{i=1}^{10^9} i",
    r"\prod_{i=1}^{10^9} i",
    r"\int_0^{10^9} e^{-x^2} dx",
    r"\binom{1000000}{500000}",
    r"\Gamma(1000000)",
    "x^{1000000}",
    "(x+y+z)^{999}",
    "1e999999999",
    "7" * 199,
    "(" * 99 + "x" + ")" * 99,
    "((((((((x+1)+1)+1)+1)+1)+1)+1",
    "|" * 60,
    "x^" * 60 + "x",
    r"\sqrt{" * 30 + "x" + "}" * 30,
    r"\frac{1}{" * 20 + "x" + "}" * 20,
    r"\sin \cos \tan (x+y)" * 9,
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_an_expression_that_explodes_is_put_aside(bomb):
    assert grade.same(bomb, bomb + " ", "expression")
    assert not grade.same(bomb, "2", "expression")


def test_grading_still_works_after_the_budget_ran_out():
    assert not Reader(calls=1000).same("(x+1)^2", "x^2+2x+1")
    assert sys.getprofile() is None
    assert Reader().same("(x+1)^2", "x^2+2x+1")


def test_many_hard_answers_share_one_budget():
    answers = [f"((((((x+{n})+1)+1)+1)+1)+1)^{n}" for n in range(2, 12)]
    assert grade.classes([*answers, answers[0]], "expression")[0] == [0, len(answers)]


CODE = [
    "__import__('os').system('touch {path}')",
    "(lambda: open('{path}', 'w'))()",
    "open('{path}','w')",
    "$__import__('os').system('touch {path}')$",
    r"\boxed{{__import__('os').system('touch {path}')}}",
    "1 if open('{path}','w') else 2",
    "$(touch {path})",
    r"\immediate\write18{{touch {path}}}",
]


@pytest.mark.parametrize("attack", CODE)
@pytest.mark.parametrize("kind", ["number", "expression", "list", "code", "short"])
def test_nothing_that_a_model_wrote_is_run(attack, kind, tmp_path):
    grade.same("x", "x+0", "expression")  # sympy itself evaluates code while it is imported
    path = tmp_path / "pwned"
    text = attack.replace("{path}", str(path)).replace("{{", "{").replace("}}", "}")
    found = grade.extract(f"Answer: {text}", kind)
    grade.same(text, found or "x", kind)
    grade.classes([text, text + " ", "x", "1"], kind)
    assert not path.exists()


def test_of_an_expression_sympy_evaluates_single_numbers_only(monkeypatch):
    parser = pytest.importorskip("sympy.parsing.sympy_parser")
    real, evaluated = parser.parse_expr, []

    def record(text, *args, **kwargs):
        evaluated.append(text)
        return real(text, *args, **kwargs)

    monkeypatch.setattr(parser, "parse_expr", record)
    assert grade.same("31(x+1.25)", "31x+38.75", "expression")
    for attack in [
        *CODE,
        "eval('1')",
        r"\operatorname{eval}(41)",
        "x.__class__+43",
        r"f(42)=\text{os.system}(44)",
        "a.b.c(45)",
    ]:
        grade.same(attack, "x+46", "expression")
    assert "31" in evaluated
    assert all(re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) for text in evaluated)


@pytest.mark.parametrize(
    "text", ["__import__('os')", "x.__class__", "f'{x}'", r"\input{/etc/passwd}", "x" * 201, "", "\x00"]
)
def test_only_known_mathematics_reaches_the_parser(text):
    assert to_latex(text) is None


REPEATED = [
    *("a", "7", "7,", "1,111,", "1 111 ", "½", "1/", "10^", "twenty-", "one hundred ", "minus ", r"\frac{1}{", "e9"),
    *(r"\boxed{", "{", "the answer is ", "the answer ", "Answer:\n", "Answer: 1\n", "#### 7", "= ", "not ", "no "),
    *(
        "confidence ",
        "confidence: 8",
        "(A) ",
        "A ",
        "- x\n",
        "1. x\n",
        "```\n",
        "$",
        r"\(",
        "*",
        "<",
        "((((",
        "|",
        "sqrt(",
    ),
    *("So, x is the y of ", "x. ", "\n", " ", "\t", "\u00a0", "\x00", "\ud800", "\u0301", "\u200b", "🙂"),
]


@pytest.mark.parametrize("piece", REPEATED)
def test_repetition_without_end_is_read_in_linear_time(piece):
    text = piece * (grade.MAX_TEXT // 2 // len(piece))
    choices = ("Paris", "a" * 50, "A bus")
    for kind in ("number", "expression", "choice", "yesno", "short", "list", "code", "text"):
        found = grade.extract(text, kind, choices)
        assert found is None or 0 < len(found) <= grade.MAX_ANSWER
    assert grade.stated_confidence(text) in (None, 0.08)
    assert grade.verdict(text) in (None, True, False)


@pytest.mark.parametrize("kind", ["number", "expression", "choice", "yesno", "short", "list", "code", "text"])
@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "7" * 4096, "a" * 4096, "(" * 4096, "\u0301" * 4096, "🙂"])
def test_odd_answers_are_only_themselves(text, kind):
    assert grade.same(text, text, kind)
    assert not grade.same(text, "an answer like any other", kind)


def test_expressions_are_compared_off_the_main_thread_and_without_a_word(caplog):
    outcome = []
    with caplog.at_level(logging.WARNING):
        worker = threading.Thread(target=lambda: outcome.append(grade.same("(x+2)^2", "x^2+4x+4", "expression")))
        worker.start()
        worker.join()
    assert outcome == [True]
    assert not caplog.records
