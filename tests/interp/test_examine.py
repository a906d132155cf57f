"""An audit as a command carries it out: with more processes at it nothing comes out otherwise."""

from __future__ import annotations

import multiprocessing

import pytest
from tiny import tiny

from chorus.errors import ConfigError
from interp.examine import Request, examine
from interp.plan import Config

pytestmark = [pytest.mark.interp, pytest.mark.model, pytest.mark.timeout(900)]

FEW = Config(("skeptic",), discover=4, select=2, test=2, layers=2, steps=1, share=0.05, randoms=3, probes=5, voices=1)


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
        request = Request(str(small), None, None, None, FEW, "quick", tmp_path / str(workers), None, "cpu")
        cards[workers] = examine(request, said.append, workers).card
        begun[workers] = [words for words in said if words.startswith("[")]
    one, two = (cards[workers].personas["skeptic"].figures for workers in (1, 2))
    assert one.keys() == two.keys()
    for name, figure in one.items():
        assert two[name].value == pytest.approx(figure.value, rel=1e-3, abs=1e-5), name
    elsewhere = [words for words in capfd.readouterr().err.splitlines() if words.startswith("[")]
    assert elsewhere, "the other process did something, too"
    assert len(begun[2]) + len(elsewhere) == len(begun[1])


def test_an_audit_that_can_not_begin_fails_as_it_would_alone_and_leaves_no_worker(tmp_path):
    request = Request(str(tmp_path / "nowhere"), None, None, None, FEW, "quick", None, None, "cpu")
    with pytest.raises(ConfigError, match="nowhere"):
        examine(request, print, 2)
    assert not multiprocessing.active_children()
