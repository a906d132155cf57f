"""Tiny random models of the Llama family, and pairs of prompts for them."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from interp.pairs import Pair, Pairs

VOCABULARY = 40


def tiny(seed=0, *, layers=2, heads=6, kv_heads=2, spread=0.02, vocabulary=VOCABULARY, positions=64):
    """A random model; `spread` is the standard deviation of its weights, 0.02 being transformers' default."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=8 * heads,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=positions,
        initializer_range=spread,
    )
    return LlamaForCausalLM(config).eval()


def random_pairs(seed=0, *, items=3, tokens=6):
    """Prompts that differ in their second token."""
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for number in range(items):
        on = torch.randint(VOCABULARY, (tokens,), generator=generator).tolist()
        off = [*on]
        off[1] = (on[1] + 7) % VOCABULARY
        pairs.append(Pair(tuple(on), tuple(off), (3, 5), (8,), f"template {number % 2}"))
    return Pairs.of(pairs)
