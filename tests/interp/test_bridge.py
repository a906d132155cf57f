"""A lens sees what the model does, leaves the model as it was, and says when it can't look."""

from __future__ import annotations

import pytest
import torch
from tiny import random_pairs, tiny
from transformers import FalconConfig, FalconForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from interp.activations import in_batches, pooled
from interp.bridge import Lens
from interp.errors import HookMissed, LensError, NotFinite, UnknownArchitecture
from interp.pairs import Pair, Pairs, behaviour

pytestmark = pytest.mark.interp


@pytest.mark.parametrize("kv_heads", [6, 2, 1])
def test_the_model_answers_the_same_and_its_parts_add_up(kv_heads):
    model = tiny(kv_heads=kv_heads)
    names = set(model.state_dict())
    lens = Lens(model)
    ids = random_pairs().clean
    reading = lens.read(ids)
    assert set(model.state_dict()) == names, "the model itself is not wrapped"
    assert torch.allclose(reading.logits, model(ids).logits, atol=1e-6)
    assert reading.writers.shape == (*ids.shape, 1 + 2 * 7, 48)
    assert torch.allclose(model.model.norm(reading.writers.sum(2)) @ model.lm_head.weight.T, reading.logits, atol=1e-5)
    assert lens.wiring.edges == {6: 198, 2: 126, 1: 108}[kv_heads]


def test_logits_are_computed_where_they_are_wanted():
    lens = Lens(tiny(spread=0.2))
    pairs = random_pairs()
    whole = lens.run(pairs.clean)
    assert torch.allclose(lens.run(pairs.clean, at=slice(2, 4)), whole[:, 2:4], atol=1e-6)
    behaved = lens.behaviour(pairs.clean, pairs.weights)
    assert torch.allclose(behaved, behaviour(whole, pairs.clean, pairs.weights), atol=1e-6)
    with pytest.raises(LensError, match="no token"):
        lens.behaviour(pairs.clean, 0 * pairs.weights)


def test_a_hook_that_does_not_fire_is_told():
    lens = Lens(tiny())
    ids = random_pairs().clean
    with pytest.raises(HookMissed, match="count from 0 to 1"):
        lens.run(ids, [("blocks.2.hook_mlp_out", lambda _: None)])
    lens.bridge.add_hook("blocks.1.hook_resid_pre", lambda value, hook: value)  # Someone else's changes nothing.
    fired = []
    lens.run(ids, [("blocks.1.hook_resid_pre", lambda value: fired.append(value.shape))])
    assert fired == [(*ids.shape, 48)]


def test_an_architecture_without_one_stream_of_sums_is_refused():
    parallel = GPTNeoXConfig(
        vocab_size=40, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4
    )
    with pytest.raises(UnknownArchitecture, match="GPTNeoXForCausalLM"):
        Lens(GPTNeoXForCausalLM(parallel))
    shared = FalconConfig(vocab_size=40, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
    with pytest.raises(UnknownArchitecture):
        Lens(FalconForCausalLM(shared))


def test_a_class_the_bridge_does_not_know_is_refused():
    class Odd(type(tiny())):
        pass

    with pytest.raises(UnknownArchitecture, match="Odd"):
        Lens(Odd(tiny().config))


def test_nan_is_named():
    model = tiny()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises((NotFinite, UnknownArchitecture)):
        Lens(model)
    lens = Lens(tiny())
    with pytest.raises(NotFinite, match="the logits hold NaN"):
        lens.run(random_pairs().clean, [("blocks.0.hook_mlp_out", lambda value: value * float("nan"))])


def test_activations_that_are_nan_are_refused():
    lens = Lens(tiny())
    with torch.no_grad():
        lens.bridge.original_model.get_input_embeddings().weight[39] = float("nan")
    ids = torch.tensor([[1, 2, 39]])
    with pytest.raises(NotFinite, match="hold NaN"):
        pooled(lens, ids, torch.ones(1, 3), ["blocks.0.hook_resid_post"])


# Activations


def test_activations_are_pooled_over_tokens():
    lens = Lens(tiny())
    ids = random_pairs(items=4).clean
    weights = torch.zeros(ids.shape)
    weights[:, 2:4] = 0.5
    names = [f"blocks.{layer}.hook_resid_post" for layer in range(2)]
    found = pooled(lens, ids, weights, names, batch=3)
    stream = lens.read(ids).writers.cumsum(2)[:, :, [7, 14]]
    assert torch.allclose(found, stream[:, 2:4].mean(1), atol=1e-6)


def test_out_of_memory_halves_the_batch_and_says_so(caplog):
    sizes = []

    def work(rows):
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return torch.arange(rows.start, rows.stop)

    assert in_batches(7, 8, work).tolist() == list(range(7))
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert caplog.messages == ["out of memory: going on with batches of 3", "out of memory: going on with batches of 1"]
    with pytest.raises(LensError, match="single row"):
        in_batches(2, 1, lambda rows: work(slice(0, 3)))
    with pytest.raises(RuntimeError, match="something else"):
        in_batches(2, 1, lambda rows: (_ for _ in ()).throw(RuntimeError("something else")))


def test_memory_is_kept_for_what_is_as_large_and_let_go_where_half_will_do():
    lens, like = Lens(tiny()), torch.zeros(1)
    first = lens.scratch("a", like, 4, 6)
    assert first.shape == (4, 6)
    assert lens.scratch("a", like, 3, 6).data_ptr() == first.data_ptr()
    assert lens.scratch("b", like, 4, 6).data_ptr() != first.data_ptr()
    lens.scratch("a", like, 2, 6)
    assert lens._scratch["a"].numel() == 12
    assert lens.scratch("a", like.double(), 2, 6).dtype == torch.float64


# Pairs


def test_behaviour_is_the_persona_answers_lead_per_token():
    model = tiny(spread=0.2)
    pairs = Pairs.of([Pair((1, 2, 3), (1, 9, 3), (4, 5), (6,)), Pair((1,), (2,), (3,), (4, 5, 6))])
    assert len(pairs) == 2
    logits = model(pairs.clean).logits
    found = pairs.by_item(behaviour(logits, pairs.clean, pairs.weights))

    def logp(prompt, answer):
        rows = torch.log_softmax(model(torch.tensor([[*prompt, *answer]])).logits[0], -1)
        return sum(rows[len(prompt) - 1 + k, token] for k, token in enumerate(answer)) / len(answer)

    first = logp((1, 2, 3), (4, 5)) - logp((1, 2, 3), (6,))
    second = logp((1,), (3,)) - logp((1,), (4, 5, 6))
    assert torch.allclose(found, torch.stack([first, second]), atol=1e-5)
    again = pairs.take([1, 0, 1])
    assert torch.allclose(
        again.by_item(behaviour(model(again.clean).logits, again.clean, again.weights)), found[[1, 0, 1]], atol=1e-5
    )


def test_pairs_that_can_not_be_patched_are_refused():
    with pytest.raises(LensError, match="3 and 2 tokens"):
        Pairs.of([Pair((1, 2, 3), (1, 2), (4,), (5,))])
    with pytest.raises(LensError, match="empty"):
        Pairs.of([Pair((1,), (2,), (), (5,))])
    with pytest.raises(LensError, match="no pairs"):
        Pairs.of([])
