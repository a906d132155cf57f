"""How the tokens that a server lists are made to fit the text that it sent."""

from types import SimpleNamespace

import pytest

from chorus.engines.openai_stream import Reading


def read(text: str, *tokens: str | bytes) -> list[str]:
    """Read one chunk that holds the text and lists the tokens; bytes are a token whose string is lossy."""
    entries = [
        SimpleNamespace(token=token, bytes=list(token.encode()), logprob=-1.0)
        if isinstance(token, str)
        else SimpleNamespace(token="\ufffd", bytes=list(token), logprob=-1.0)
        for token in tokens
    ]
    delta, logprobs = SimpleNamespace(content=text), SimpleNamespace(content=entries)
    reading = Reading()
    reading.take(SimpleNamespace(choices=[SimpleNamespace(delta=delta, logprobs=logprobs, finish_reason=None)]))
    return [token.token for token in reading.logprobs()]


@pytest.mark.parametrize(
    ("text", "tokens", "fitted"),
    [
        ("Answer: 56", ("Answer", ":", " 56"), ["Answer", ":", " 56"]),
        ("56", ("56", "<|im_end|>"), ["56"]),
        ("56", (" 56",), ["56"]),
        ("56", ("<s>", "5", "6\n", "\nQ"), ["5", "6"]),
        ("7×8", ("7", b"\xc3", b"\x97", "8"), ["7", "×", "8"]),
        ("56", ("fifty", "-six"), []),
        ("", ("<|im_end|>",), []),
        ("56", (), []),
    ],
)
def test_tokens_are_cut_to_the_text_or_dropped(text, tokens, fitted):
    assert read(text, *tokens) == fitted
    assert "".join(fitted) in (text, "")


def test_tokens_without_values_are_no_tokens():
    reading = Reading()
    entry = SimpleNamespace(token="56", bytes=None, logprob=None)
    choice = SimpleNamespace(
        delta=SimpleNamespace(content="56"), logprobs=SimpleNamespace(content=[entry]), finish_reason="stop"
    )
    assert reading.take(SimpleNamespace(choices=[choice])) == "56"
    assert reading.logprobs() == ()
