"""An audit as a command carries it out: with more processes at it nothing comes out otherwise."""

from __future__ import annotations

import multiprocessing
import time

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
    cards, begun = {}, {1: [], 2: []}
    for workers in (1, 2):
        out = tmp_path / str(workers)

        def say(words, out=out, workers=workers):
            if words.startswith("["):
                begun[workers].append(words)
                if len(begun[workers]) == workers == 2:  # Its second step waits until the other process has done one.
                    while len([*out.glob("audit/skeptic.*.json")]) < 2:
                        time.sleep(0.1)

        request = Request(str(small), None, None, None, FEW, "quick", out, None, "cpu")
        cards[workers] = examine(request, say, workers).card
    one, two = (cards[workers].personas["skeptic"].figures for workers in (1, 2))
    assert one.keys() == two.keys()
    for name, figure in one.items():
        assert two[name].value == pytest.approx(figure.value, rel=1e-3, abs=1e-5), name
    elsewhere = [words for words in capfd.readouterr().err.splitlines() if words.startswith("[")]
    assert len(begun[2]) + len(elsewhere) == len(begun[1])


def test_an_audit_that_can_not_begin_fails_as_it_would_alone_and_leaves_no_worker(tmp_path):
    request = Request(str(tmp_path / "nowhere"), None, None, None, FEW, "quick", None, None, "cpu")
    with pytest.raises(ConfigError, match="nowhere"):
        examine(request, print, 2)
    assert not multiprocessing.active_children()
