"""Models whose persona circuit is known, because it was planted: what the microscope is tested on before it is believed.

A tiny random Llama with grouped-query attention gets a chain of parts written into its weights. The first is a head that
finds the persona's token and copies its sign to later tokens; heads and MLPs after it pass the sign on, by value or by
query; the last writes what the unembedding reads as the persona's answer. Where the chain lies (layers, heads, kinds),
how strong it is and how many distractors stand beside it are drawn from a seed. Distractors are of two sorts: `mute`
heads copy the persona's sign to where no part of the model looks, and `loud` ones write steadily where the chain is
read. A model may also be planted without a persona circuit: everything is there except the chain's first step, so that
no part of it knows the persona. Or with a persona that acts through no small circuit: no chain, but a persona's token so
loud, among random weights so large, that its effect goes through much of the model at once.

A prompt is `start, persona, plus, minus, question ...`; with the persona and without it differ in the second token. For
placebo tokens the same holds, but no part of the chain knows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interp.pairs import Pair, Pairs

WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_WIDTH, HIDDEN = 64, 4, 4, 2, 16, 64
START, PLUS, MINUS, ANSWER, NEUTRAL, PERSONA = 0, 1, 2, 3, 4, 5
"""Tokens. The persona's token is followed by the one that stands in its place when it is off."""
PLACEBOS, QUESTIONS = 39, 24
FIRST_PLACEBO = PERSONA + 2
FIRST_QUESTION = FIRST_PLACEBO + 2 * PLACEBOS
VOCABULARY = FIRST_QUESTION + QUESTIONS
SLOW = (HEAD_WIDTH // 2 - 1, HEAD_WIDTH - 1)
"""The two dimensions of a head that rotary embeddings hardly turn: keys and queries of the chain live there."""
BACKGROUND = 0.03
"""Standard deviation of all other weights; 0.02 is that of a model that was just initialised."""
DIFFUSE, LOUD = 0.1, 4.0
"""Where the effect is to go everywhere: the deviation of all weights, and how much of its direction the persona's token
bears, a placebo's being 1."""
READING = tuple(f"{part}.weight" for part in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "lm_head"))
"""The weights that read the residual stream."""
STEADY = 2.0
"""How much of every token is the steady direction: enough that norms hardly change with what the chain writes. If they
did, they would blow up the faintest leak to the size of the real thing, and placebos would move the answer too."""


@dataclass(frozen=True)
class Plant:
    """A model and the truth about it."""

    model: Any
    edges: frozenset[tuple[str, str]]
    """The planted edges by the names of `Wiring`; empty when there is no small persona circuit."""
    strength: float
    distractors: int
    kinds: tuple[str, ...] = field(default=())
    """What the chain is made of, in order: `catch`, then `value`, `query` or `mlp`."""


def plant(seed: int, *, circuit: bool = True, diffuse: bool = False, hard: bool = False) -> Plant:
    """Return a model with a persona circuit drawn from the seed, or with a null of either kind.

    Args:
        seed: of everything.
        circuit: off leaves out the first step, so that the persona has no effect.
        diffuse: leaves out all steps, and has an effect that goes everywhere.
        hard: draws a weaker circuit among more distractors, of which some hardly move the behaviour at all.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    draw = torch.Generator().manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_WIDTH,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    make: Any = LlamaForCausalLM  # untyped in transformers
    model = make(config).eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.copy_((DIFFUSE if diffuse else BACKGROUND) * torch.randn(weight.shape, generator=draw))
    gardener = _Gardener(model, draw)
    gardener.sow_tokens(LOUD if diffuse else 1.0)
    if diffuse:
        return Plant(model, frozenset(), strength=0.0, distractors=0)
    strength = (0.1 if hard else 0.4) + 0.4 * float(torch.rand((), generator=draw))
    edges, kinds = gardener.sow_chain(strength, begin=circuit)
    distractors = 3 + int(torch.randint(6, (), generator=draw)) if hard else int(torch.randint(5, (), generator=draw))
    for _ in range(distractors):
        gardener.sow_distractor()
    return Plant(model, frozenset(edges if circuit else ()), strength, distractors, tuple(kinds))


def persona_pairs(items: int, seed: int = 0, *, placebo: int | None = None) -> Pairs:
    """Return pairs on random questions; with `placebo` a number below PLACEBOS, of a token nobody was taught."""
    on = PERSONA if placebo is None else FIRST_PLACEBO + 2 * placebo
    draw = torch.Generator().manual_seed(seed)
    questions = FIRST_QUESTION + torch.randint(QUESTIONS, (items, 4), generator=draw)
    return Pairs.of(
        [
            Pair(
                (START, on, PLUS, MINUS, *question),
                (START, on + 1, PLUS, MINUS, *question),
                (ANSWER,),
                (NEUTRAL,),
                group=str(question[0]),
            )
            for question in questions.tolist()
        ]
    )


class _Gardener:
    """Writes parts into a model's weights, along directions of the residual stream that are at right angles."""

    def __init__(self, model: Any, draw: torch.Generator) -> None:
        self.model, self.draw = model, draw
        self.basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=draw)).Q.T  # Rows are directions.
        self.used = 0
        self.steady, self.slot, self.sign, self.anchor_key, self.anchor_value = (self.new() for _ in range(5))
        self.free = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
        self.stages: list[Tensor] = []
        self.value_rows = [[0] * KV_HEADS for _ in range(LAYERS)]

    def new(self) -> Tensor:
        """Return a direction (D,) that nobody uses."""
        self.used += 1
        direction: Tensor = self.basis[self.used - 1]
        return direction

    def pick(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.draw))

    def sow_tokens(self, loud: float) -> None:
        """Every token bears the steady direction and an identity of its own; some bear more, and the persona's so much."""
        table = self.model.model.embed_tokens.weight
        # Identities keep clear of the directions that parts of the chain use.
        rest = self.basis[20:]
        identity = torch.randn(VOCABULARY, len(rest), generator=self.draw) @ rest / len(rest) ** 0.5
        table += STEADY * self.steady + identity
        for number in range(PLACEBOS + 1):
            on, off = PERSONA + 2 * number, PERSONA + 2 * number + 1
            direction = loud * self.sign if number == 0 else identity[on] / identity[on].norm()
            table[off] = table[on] = STEADY * self.steady + 1.5 * self.slot
            table[on] += direction
            table[off] -= direction
        table[PLUS] += self.anchor_key + self.anchor_value
        table[MINUS] -= self.anchor_key + self.anchor_value

    def sow_chain(self, strength: float, *, begin: bool) -> tuple[list[tuple[str, str]], list[str]]:
        """Plant two to four parts at rising layers, and return edges and kinds."""
        length = 2 + self.pick(3)
        layers = sorted(torch.randperm(LAYERS, generator=self.draw)[:length].tolist())
        edges, kinds, before, carried = [], [], ["embed"], self.sign
        for layer in layers:
            first = carried is self.sign
            kind = "catch" if first else ("value", "query", "mlp")[self.pick(3)]
            writes = self.new()
            self.stages.append(writes)
            if kind == "mlp":
                self.mlp(layer, carried, writes, strength)
                now, reader = [f"{layer}.mlp"], [f"{layer}.in"]
            else:
                # Sometimes two heads share the first step.
                heads = self.take_heads(layer, 1 + (self.pick(2) if first else 0))
                for head in heads if begin or not first else ():
                    self.head(kind, layer, head, carried, writes, strength / len(heads))
                group = HEADS // KV_HEADS
                now = [f"{layer}.h{head}" for head in heads]
                reader = [f"{layer}.q{head}" if kind == "query" else f"{layer}.v{head // group}" for head in heads]
            edges += [(writer, name) for writer in before for name in dict.fromkeys(reader)]
            kinds.append(kind)
            before, carried = now, writes
        edges += [(writer, "logits") for writer in before]
        self.model.lm_head.weight[ANSWER] += 0.5 * strength * carried
        self.model.lm_head.weight[NEUTRAL] -= 0.5 * strength * carried
        return edges, kinds

    def sow_distractor(self) -> None:
        layer, head = self.free.pop(self.pick(len(self.free)))
        if self.pick(2):
            unread = self.new()
            self.head("catch", layer, head, self.sign, unread, 1.0)
            for name, weight in self.model.named_parameters():
                # Else the random weights around would read it, and the persona would have an effect after all.
                if name.endswith(READING):
                    weight -= (weight @ unread)[:, None] * unread
        else:
            self.head("value", layer, head, self.steady, self.stages[self.pick(len(self.stages))], 0.1)

    def take_heads(self, layer: int, count: int) -> list[int]:
        here = [place for place in self.free if place[0] == layer]
        chosen = [here.pop(self.pick(len(here))) for _ in range(count)]
        self.free = [place for place in self.free if place not in chosen]
        return [head for _, head in chosen]

    def head(self, kind: str, layer: int, head: int, reads: Tensor, writes: Tensor, gain: float) -> None:
        """Plant a head: `catch` attends to the persona's slot, `value` to all alike, `query` to an anchor by sign."""
        attention = self.model.model.layers[layer].self_attn
        shared = head // (HEADS // KV_HEADS)
        row = self.value_rows[layer][shared]  # Heads that share values use different dimensions of them.
        self.value_rows[layer][shared] += 1
        query, key = head * HEAD_WIDTH, shared * HEAD_WIDTH
        if kind == "catch":
            attention.q_proj.weight[query + SLOW[0]] += 1.4 * self.steady
            attention.k_proj.weight[key + SLOW[0]] += 1.4 * self.slot
        if kind == "query":
            attention.q_proj.weight[query + SLOW[1]] += 1.4 * reads
            attention.k_proj.weight[key + SLOW[1]] += 1.4 * self.anchor_key
        attention.v_proj.weight[key + row] = 0.5 * (self.anchor_value if kind == "query" else reads)
        attention.o_proj.weight[:, query + row] = gain * writes

    def mlp(self, layer: int, reads: Tensor, writes: Tensor, gain: float) -> None:
        """Plant a unit whose gate is always open."""
        mlp, unit = self.model.model.layers[layer].mlp, self.pick(HIDDEN)
        mlp.gate_proj.weight[unit] += 0.35 * self.steady
        mlp.up_proj.weight[unit] = 0.5 * reads
        mlp.down_proj.weight[:, unit] = 0.6 * gain * writes
