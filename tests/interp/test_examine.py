"""An audit as a command carries it out: with more processes at it nothing comes out otherwise."""

from __future__ import annotations

import pytest
from tiny import tiny

from interp.examine import Request, examine

pytestmark = [pytest.mark.interp, pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture
def small(tmp_path):
    """A random model on disk that reads as the embedded one does."""
    from transformers import AutoTokenizer

    from chorus import checkpoints

    folder = tmp_path / "small"
    AutoTokenizer.from_pretrained(checkpoints.resolve("smollm2-135m")).save_pretrained(folder)
    tiny(3, vocabulary=49152, positions=1024).save_pretrained(folder)
    return folder


def test_two_workers_come_to_what_one_does(small, tmp_path, capfd):
    cards, begun = {}, {}
    for workers in (1, 2):
        said = []
        out = tmp_path / str(workers)
        request = Request(str(small), None, None, None, "quick", ("skeptic",), out, None, 0, "cpu")
        cards[workers] = examine(request, said.append, workers).card
        begun[workers] = [words for words in said if words.startswith("[")]
    assert cards[2].personas == cards[1].personas
    assert cards[2].config_sha256 == cards[1].config_sha256
    elsewhere = [words for words in capfd.readouterr().err.splitlines() if words.startswith("[")]
    assert elsewhere, "the other process did something, too"
    assert len(begun[2]) + len(elsewhere) == len(begun[1])
