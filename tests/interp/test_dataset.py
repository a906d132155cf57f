"""Questions and rows: splits that share nothing, prompts of one length, the same text under both."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interp import dataset
from interp.errors import LensError
from interp.subject import spread
from personas.contrast import contrast

pytestmark = pytest.mark.interp

TEMPLATE = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<reply> "


@pytest.fixture(scope="module")
def tokenizer():
    """One token a word or mark, of a vocabulary that is made of what is asked."""
    splitter = pre_tokenizers.Whitespace()
    skeptic = contrast("skeptic")
    texts = [TEMPLATE, *skeptic.prompts, *skeptic.neutral_prompts, skeptic.text, skeptic.neutral_text, "system user <>"]
    texts += [item.question for item in dataset.items()] + [str(number) for number in range(60)]
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text)}
    made = Tokenizer(
        models.WordLevel({"[unk]": 0} | {word: place for place, word in enumerate(sorted(words), 1)}, "[unk]")
    )
    made.pre_tokenizer = splitter
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[unk]", chat_template=TEMPLATE)


def test_splits_share_neither_question_nor_template():
    found = dataset.items()
    assert len(found) == len({item.question for item in found}) == len({item.id for item in found}) == 120
    for one, other in combinations(("discover", "select", "test"), 2):
        for what in ("question", "template"):
            sides = [{getattr(item, what) for item in found if item.split == split} for split in (one, other)]
            assert sides[0]
            assert sides[0].isdisjoint(sides[1])


@pytest.mark.parametrize("paraphrase", range(5))
def test_prompts_of_a_pair_are_equally_long(tokenizer, paraphrase):
    questions = dataset.items()[:12:4]
    pairs = dataset.circuit_pairs(tokenizer, contrast("skeptic"), questions, [paraphrase])
    assert len(pairs) == 3
    assert (pairs.clean != pairs.corrupt).any(1).all()
    counted = pairs.weights != 0
    after = torch.roll(counted, 1, 1)
    assert torch.equal(pairs.clean[after], pairs.corrupt[after]), "the answers are the same on both sides"
    text = tokenizer.decode(pairs.clean[1][after[1]])
    assert text == "The answer is 5 ."


def test_splits_share_no_wording_of_the_prompts():
    used = [wording for own in dataset.WORDINGS.values() for wording in own]
    assert sorted(used) == list(range(len(contrast("skeptic").prompts))), "each is used, and none twice"


def test_every_template_is_put_in_every_wording(tokenizer):
    questions = spread([item for item in dataset.items() if item.split == "discover"], 18)
    pairs = dataset.circuit_pairs(tokenizer, contrast("skeptic"), questions, dataset.WORDINGS["discover"])
    assert len(set(zip(pairs.groups, pairs.wordings, strict=True))) == 6 * 3
    assert pairs.halved_by == pairs.wordings
    assert pairs.take([0, 6]).wordings == (pairs.wordings[0], pairs.wordings[6])
    prompts = {
        (wording, tuple(row.tolist()[:8])) for wording, row in zip(pairs.wordings, pairs.clean[::2], strict=True)
    }
    assert len(prompts) == 3, "what is told differs with the wording, and with nothing else"
    one = dataset.circuit_pairs(tokenizer, contrast("skeptic"), questions[:3], dataset.WORDINGS["test"])
    assert one.halved_by == one.questions, "of a single wording halves can share but no question"


def test_rows_of_the_main_cells_have_the_same_text(tokenizer):
    cells = dataset.cells(tokenizer, contrast("skeptic"), dataset.items()[:5])
    assert len(cells.ids) == 20
    assert torch.allclose(cells.pool.sum(1), torch.ones(20))
    main = cells.same_text()
    assert cells.prompt_on[main].tolist() == [True, False] * 5
    texts = [cells.ids[row][cells.pool[row] > 0].tolist() for row in main]
    assert texts[::2] == texts[1::2]
    few = cells.take(main)
    assert few.ids.equal(cells.ids[main])
    assert few.wordings == tuple("0011223344"), "wordings take turns"
    lens = SimpleNamespace(config=SimpleNamespace(vocab_size=len(tokenizer)), embeddings=torch.eye(len(tokenizer)))
    seen = dataset.surface(few, lens)
    assert seen["length"].flatten().tolist() == few.read.sum(1).tolist()
    words = seen["words"][0].nonzero().flatten().tolist()
    assert set(words) == set(few.ids[0][few.read[0] > 0].tolist()), "surface features see the prompt too"
    assert torch.allclose(seen["embeddings"] * seen["length"], seen["words"])


def test_prompts_that_can_not_be_matched_are_refused(tokenizer):
    class Stubborn:
        apply_chat_template = staticmethod(tokenizer.apply_chat_template)

        def __call__(self, text, **options):
            ids = tokenizer(text, **options)["input_ids"]
            # One side's length is even and the other's odd, however much is put behind them.
            return {"input_ids": ids + ids if "plain" in text else [*ids, *ids, 0]}

    with pytest.raises(LensError, match="one length"):
        dataset.circuit_pairs(Stubborn(), contrast("skeptic"), dataset.items()[:1], [0])
