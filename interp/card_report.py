"""The card as a person reads it: what is explained, what is not, by how much, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx

from chorus.checkpoints.legibility import Card, Measured
from interp import graph, influence, plots, verdicts
from interp.figures import RIVALS
from interp.foretold import RULE
from interp.probes import DRAWS
from interp.rules import SHUFFLINGS
from interp.wiring import Wiring

REPORT = "legibility.md"
PLOT = "legibility.svg"
MATRIX = "voices.svg"
CIRCUITS = "circuits"
"""Folder with each persona's circuit, as JSON and drawn, and with what its vector does at every layer."""
DRAWN = 150
"""Edges of a circuit that are drawn, its strongest: of thousands nobody could follow one."""


def write(card: Card, folder: Path, work: Path) -> Path:
    """Write the report, its plots and the circuits into a folder, and return the report's path.

    Args:
        card: what it is about.
        folder: where to.
        work: the audit's, with what was found on the way.
    """
    plots.figures(card, folder / PLOT)
    influence.draw(moves(card), folder / MATRIX)
    (folder / CIRCUITS).mkdir(exist_ok=True)
    shown = [line for name in card.personas for line in _circuit(name, work, folder / CIRCUITS)]
    rule = (work / RULE).read_text("utf-8") if (work / RULE).exists() else ""
    path = folder / REPORT
    part = path.with_name(f".{path.name}.part")
    part.write_text(text(card, shown, rule))
    part.replace(path)
    return path


def _circuit(name: str, work: Path, folder: Path) -> list[str]:
    """Save and draw one persona's circuit, draw what its vector does at other layers, and return the report's lines."""
    whole = graph.load(work / f"{name}.circuit.json")
    edges, few = int(graph.to_mask(whole).sum()), graph.top(whole, DRAWN)
    graph.save(whole, folder / f"{name}.json")
    paths = graph.pruned(few) or few  # Where no path leads through so few, all of them are shown.
    graph.draw(
        paths, folder / f"{name}.svg", f"{name}: paths through the strongest {min(edges, DRAWN)} of {edges} edges"
    )
    lines = [f"### {name}", "", _strongest(whole, edges), "", f"![{name}'s circuit]({CIRCUITS}/{name}.svg)", ""]
    if (work / f"{name}.layers.json").exists():
        plots.layers(work, name, folder / f"{name}.layers.svg")
        lines += [f"![What {name}'s vector does, layer by layer]({CIRCUITS}/{name}.layers.svg)", ""]
    return lines


def _strongest(circuit: nx.DiGraph[str], edges: int) -> str:
    """Return in words which edges of a circuit carry most."""
    wiring: Wiring = graph.wiring_of(circuit)
    scores = nx.get_edge_attributes(circuit, "score")
    first = sorted(scores, key=lambda edge: -abs(scores[edge]))[:5]
    listed = ", ".join(f"`{a} → {b}` {scores[a, b]:+.3g}" for a, b in first)
    return (
        f"{edges} of {wiring.edges} edges ([as a graph]({CIRCUITS}/{circuit.graph['persona']}.json)); those that carry "
        f"most, in nats: {listed}. Below zero an edge works for the behaviour: without it there is less."
    )


def text(card: Card, circuits: Sequence[str] = (), rule: str = "") -> str:
    """Return the report as Markdown; `circuits` are lines on each, `rule` is the rule of who acts when, in words."""
    config = card.config
    lines = [
        f"# How legible is {card.model}?",
        "",
        f"**Grant: `{card.grant}`.** The weakest persona decides: {verdicts.GRANTED[card.grant]}.",
        "",
        f"`chorus audit {card.model} --depth {card.depth}`, {card.made[:10]}, {card.hardware}, seed {config['seed']}; "
        f"weights `{card.weights[:16]}…`, config `{card.config_sha256[:16]}…` fixed {card.config_fixed}, test split opened "
        f"{card.test_opened}.",
        "",
        "| persona | verdict | by itself it would be granted | what kept it from a better verdict |",
        "|---|---|---|---|",
        *(
            f"| {name} | {own.verdict} | `{own.grant}` | {'; '.join(own.reasons)} |"
            for name, own in card.personas.items()
        ),
        "",
        f"![What was measured of each persona]({PLOT})",
        "",
        "| persona | figure | value | 95 % interval | by chance | p |",
        "|---|---|---|---|---|---|",
        *(_row(name, figure, own) for name, each in card.personas.items() for figure, own in each.figures.items()),
        "",
        "## What could not be explained",
        "",
        *_unexplained(card),
        "",
        "## The circuits",
        "",
        *circuits,
        "## Who moves whom",
        "",
        f"![Whose vector moves whose behaviour beyond chance]({MATRIX})",
        "",
        *_together("## What training changed", card.drift, "Not asked: no base model was given (`--base`)."),
        *_together(
            "## Who acts when",
            card.rules,
            "Nothing: no dialogues of the model were given (`--dialogues`), or too few or too alike to tell.",
        ),
        *(["```", rule.rstrip(), "```", ""] if rule else []),
        "## How to read it",
        "",
        _reading(config),
        "",
        verdicts.table(),
    ]
    return "\n".join(lines) + "\n"


def _reading(config: Mapping[str, Any]) -> str:
    """Return what every figure is, on what it was measured, and what stands beside it."""
    return (
        f"Measured on {config['test']} questions of the test split, which share neither a number nor a template with "
        f"the {config['discover']} that vectors and circuits were found on or the {config['select']} that the layer "
        "was chosen on. Intervals come from drawing questions anew (of reliability: from halving them; of *needed*: "
        "by Wilson's method, over its edges); they don't cover other templates or other wordings of the prompt. *By "
        f"chance* is the middle 95 % of {config['randoms']} draws: placebo prompts of the same words (effect), random "
        "circuits as large (faithfulness, specificity, stability, residual), moves as far in random directions "
        "(steering, wrong way, ablation, interchange, patching, damage, moves), random directions (cosine, shift), "
        "halves with sides swapped at random (reliability). Of other numbers of draws: names swapped at random (name "
        f"effect, {DRAWS}), voices shuffled among questions (who speaks, {SHUFFLINGS}), labels swapped within "
        "questions (probe, as many as the correction of its p needs), and random rankings and circuits (CPR, CMD, "
        f"lack), so few, {RIVALS}, that it is hardly more than their range. Where nothing stands, none was drawn. A "
        f"circuit has {config['share']:.0%} of all edges. Probes read the same neutral answer under either prompt and "
        "are tested on wordings of the prompt that they were not fitted on; their p is of these wordings, too few to "
        "be swapped themselves, and says nothing of others. It is corrected for all layers and personas by Holm's "
        "method, that of *moves* for the whole matrix by its largest cell. Other p-values are not corrected for the "
        "number of personas: all bars have to be cleared together. *Specificity* is faithfulness less the mean of "
        "what other personas' circuits carry of the same behaviour; *mean faithfulness* replaces by means where "
        "faithfulness replaces by the other prompt's values. *Ablation* is the share of the effect that goes with the "
        "part of the stream along the vector, *interchange* the share that comes over with it to a prompt without the "
        "persona, *patching* the share that comes over with the whole stream where the answer is foretold, beside "
        "moves as far in random directions; *damage* is by how many nats a token plain text is foretold worse while "
        "steered. *Stability over templates* draws whole templates anew; *needed* is the share of the circuit's edges "
        "of which each costs more than 19 in 20 edges outside it do; *CPR* is the area under the curve of "
        "faithfulness over the share of edges, *CMD* that between it and 1, and *lack* by how much circuit and model "
        "suffer differently from losing the same edges, beside random rankings and random circuits. What is not in "
        "the table below decides nothing."
    )


def moves(card: Card) -> nx.DiGraph[str]:
    """Return whose vector moves whose behaviour beyond chance."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(card.personas)
    for name, own in card.personas.items():
        for goal in card.personas:
            cell = own.figures.get(f"moves {goal}")
            if cell and cell.p is not None and cell.p <= verdicts.ALPHA:
                graph.add_edge(name, goal, value=cell.value, p=cell.p)
    return graph


def _row(name: str, figure: str, own: Measured) -> str:
    interval, null = (f"{ends[0]:.3g} to {ends[1]:.3g}" if ends else "-" for ends in (own.interval, own.null))
    return f"| {name} | {figure} | {own.value:.3g} | {interval} | {null} | {'-' if own.p is None else f'{own.p:.3g}'} |"


def _together(heading: str, figures: dict[str, Measured], nothing: str) -> list[str]:
    """Return a section of figures that belong to no single persona."""
    if not figures:
        return [heading, "", nothing, ""]
    head = ["| | figure | value | 95 % interval | by chance | p |", "|---|---|---|---|---|---|"]
    return [heading, "", *head, *(_row("", name, own) for name, own in figures.items()), ""]


def _unexplained(card: Card) -> list[str]:
    lines = []
    for name, own in card.personas.items():
        carried, effect = own.figures["faithfulness"], own.figures["effect"]
        told = f"- **{name}** ({own.verdict}): its prompt moves m_p by {effect.value:+.3g} nats a token"
        if effect.p is None or effect.p > verdicts.ALPHA:
            lines.append(f"{told}, which nonsense in the same words does as well: no behaviour of its own was shown.")
        else:
            amiss = f"{abs(1 - carried.value):.0%} of it has no explanation here"
            lines.append(f"{told}; the circuit carries {carried.value:.0%} of that, and {amiss}.")
    return lines
