"""The card as a person reads it: what is explained, what is not, by how much, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx

from chorus import whole_file
from chorus.checkpoints.legibility import Card
from interp import caps, graph, influence, meanings, plots, verdicts
from interp import card_tables as tables
from interp.changes import SHIFT
from interp.figures import EDGES, RIVALS
from interp.foretold import RULE
from interp.intervals import LEAST
from interp.probes import DRAWS
from interp.rules import SHUFFLINGS
from interp.wiring import Wiring

REPORT = "legibility.md"
PLOT = "legibility.svg"
MATRIX = "voices.svg"
SHIFTS = "drift.svg"
CIRCUITS = "circuits"
"""Folder with each persona's circuit, as JSON and drawn, and with what was found at every layer and every size."""
BARS = {bar.figure for bar in verdicts.BARS}
ONE_SIZE = (
    "At this depth faithfulness was measured at one size of the circuit, under either ablation; with `--depth full` it is "
    "at ten sizes, with the areas CPR and CMD."
)
DRAWN = 150
"""Edges of a circuit that are drawn, its strongest: of thousands nobody could follow one."""


def write(card: Card, folder: Path, work: Path, command: str | None = None) -> Path:
    """Write the report, its plots and the circuits into a folder, and return the report's path.

    Args:
        card: what it is about.
        folder: where to.
        work: the audit's, with what was found on the way.
        command: by which it was made; None means that of an audit which was told no more than the model and the depth.
    """
    plots.figures(card, folder / PLOT)
    influence.draw(moves(card), folder / MATRIX)
    (folder / CIRCUITS).mkdir(exist_ok=True)
    circuits = [line for name in card.personas for line in _circuit(card, name, work, folder / CIRCUITS)]
    for name, places in card.layers.items():
        plots.layers(places, name, folder / CIRCUITS / f"{name}.layers.svg")
    plots.shifts(card.drift, folder / SHIFTS)
    rule = (work / RULE).read_text("utf-8") if (work / RULE).exists() else ""
    path = folder / REPORT
    whole_file.put(path, text(card, circuits, rule, command))
    return path


def _circuit(card: Card, name: str, work: Path, folder: Path) -> list[str]:
    """Save and draw one persona's circuit, draw what it carries at other sizes, and return the report's lines."""
    whole = graph.load(work / f"{name}.circuit.json")
    edges, few = int(graph.to_mask(whole).sum()), graph.top(whole, DRAWN)
    graph.save(whole, folder / f"{name}.json")
    paths = graph.pruned(few) or few  # Where no path leads through so few, all of them are shown.
    graph.draw(
        paths, folder / f"{name}.svg", f"{name}: paths through the strongest {min(edges, DRAWN)} of {edges} edges"
    )
    lines = [f"### {name}", "", _strongest(whole, edges), "", f"![{name}'s circuit]({CIRCUITS}/{name}.svg)", ""]
    if places := card.sizes.get(name, ()):
        plots.sizes(places, name, folder / f"{name}.sizes.svg")
        edges_of_all = graph.wiring_of(whole).edges
        lines += [f"![{name}'s faithfulness by size]({CIRCUITS}/{name}.sizes.svg)", ""]
        lines += tables.grid(
            places, "edges", lambda place: f"{place.at} ({place.at / edges_of_all:.2%})", plots.CARRIED
        )
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


def text(card: Card, circuits: Sequence[str] = (), rule: str = "", command: str | None = None) -> str:
    """Return the report as Markdown; `circuits` are lines on each, `rule` is the rule of who acts when, in words."""
    lines = [
        f"# How legible is {card.model}?",
        "",
        f"**Grant: `{card.grant}`.** {_decided(card)}",
        "",
        *_before(card),
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
        "## What decides",
        "",
        *tables.deciding(card),
        "",
        verdicts.table(),
        "",
        "## What could not be explained",
        "",
        *_unexplained(card),
        "",
        *_undeciding(card),
        "",
        "## Layer by layer",
        "",
        *tables.by_layer(card, CIRCUITS),
        "## The circuits",
        "",
        *([] if card.sizes else [ONE_SIZE, ""]),
        *circuits,
        "## Who moves whom",
        "",
        f"![Whose vector moves whose behaviour beyond chance]({MATRIX})",
        "",
        "An arrow is there where p, corrected for all of them, is at most 0.05; by it the change of m_p in nats a token and "
        "its 95 % interval.",
        "",
        *tables.together("## What training changed", card.drift, "Not asked: no base model was given (`--base`)."),
        *([f"![Shift along each vector]({SHIFTS})", ""] if any(SHIFT in name for name in card.drift) else []),
        *tables.together(
            "## Who acts when",
            card.rules,
            "Nothing: no dialogues of the model were given (`--dialogues`), or too few or too alike to tell.",
        ),
        *(["```", rule.rstrip(), "```", ""] if rule else []),
        "## How to read it",
        "",
        _reading(card.config),
        "",
        meanings.table(),
        "",
        _made(card, command),
    ]
    return "\n".join(lines) + "\n"


def _undeciding(card: Card) -> list[str]:
    """Return the figures that have no threshold, as a section."""
    return [
        "## What else was measured",
        "",
        "None of it decides anything.",
        "",
        "| persona | figure | value | 95 % interval | by chance | p |",
        "|---|---|---|---|---|---|",
        *(
            tables.row(name, figure, own)
            for name, each in card.personas.items()
            for figure, own in each.figures.items()
            if figure not in BARS
        ),
    ]


def _made(card: Card, command: str | None) -> str:
    """Return by which command the card was made, when, on what and from what."""
    command = command or f"chorus audit {card.model} --depth {card.depth}"
    return (
        f"`{command}`, {card.made[:10]}, {card.hardware}, seed {card.config['seed']}; weights `{card.weights[:16]}…`, "
        f"config `{card.config_sha256[:16]}…` fixed {card.config_fixed}, test split opened {card.test_opened}."
    )


def _decided(card: Card) -> str:
    """Return in words what the grant allows, and whose doing it is."""
    weakest = [name for name, own in card.personas.items() if own.grant == card.grant]
    allowed = f"That is, {verdicts.MAY[card.grant]}."
    if not weakest:
        return f"{allowed} Its personas by themselves would be granted more: it was held back, for the reasons below."
    return f"{allowed} The weakest persona decides: {', '.join(weakest)}, {verdicts.GRANTED[card.grant]}."


def _before(card: Card) -> list[str]:
    """Return what a reader has to know before acting on the grant."""
    config, randoms, circuits = card.config, int(card.config["randoms"]), _rivals(card.config)
    least = 1 / (1 + min(randoms, circuits))
    besides = f" ({circuits} random circuits)" if circuits != randoms else ""
    lines = [f"- Granted no more than `{caps.CAP}`, whatever the figures say: {reason}." for reason in card.capped]
    lines += [
        f"- Asked about: {', '.join(card.personas)}. Whatever else the model does was not looked at.",
        f"- Asked with {config['test']} questions and {randoms} random draws{besides}: p can't be below {least:.2g}"
        + (
            ", which is the level itself, so that a single draw as great fails a bar: a look, no ground to give power on. "
            "`--depth full` draws more."
            if least >= verdicts.ALPHA
            else "."
        ),
    ]
    if card.base is None:
        lines.append("- No base model was given: what training changed was not asked, and that bar was left out.")
    elif idle := [name for name, own in card.personas.items() if verdicts.UNMOVED in own.figures]:
        lines.append(
            f"- Training has not shifted the behaviour of {', '.join(idle)}: there is no change to explain, and that bar "
            "was left out."
        )
    lines.append("- The thresholds are choices. They have no error rate that was measured on real models.")
    return lines


def _reading(config: Mapping[str, Any]) -> str:
    """Return on what the figures were measured, and what their intervals and p-values do and don't cover."""
    return (
        f"m_p is the mean over tokens of log P of the persona's answer, less that of the neutral one. Measured on "
        f"{config['test']} questions of the test split, which share no template and no pair of numbers with the "
        f"{config['discover']} that vectors and circuits were found on or the {config['select']} that the layer was chosen "
        f"on, though single numbers and sums recur; what a vector moves of others on {config['voices']} of them. A circuit "
        f"has {config['share']:.0%} of all edges. Intervals are Student's t over questions, and below {LEAST} questions "
        "there is none. They don't cover other templates or other wordings of the prompt, nor that the vector or the "
        "circuit might have come out otherwise; one that is a single point says that all questions agreed, not that there "
        "is no doubt. "
        f"*By chance* is the middle 95 % of {config['randoms']} draws, of circuits {_rivals(config)}, unless the table "
        f"below says *a few*, which are {RIVALS}, or of what is swapped or shuffled: names {DRAWS} times, voices "
        f"{SHUFFLINGS} times. *Needed* is of {EDGES} edges. {_apart(config)}Where nothing stands, none was drawn. "
        "p is the share of draws at least as far out, counting the figure itself. The probes' is of the wordings that were "
        "tried, too few to be swapped themselves, and says nothing of others; it is corrected for all layers and personas "
        "by Holm's method, that of *moves* for the whole matrix by its largest cell. Other p-values are not corrected for "
        "the number of personas: all bars have to be cleared together."
    )


def _apart(config: Mapping[str, Any]) -> str:
    """Return on how many questions the circuit was taken apart, where it was."""
    few = config.get("apart")
    return f"*Needed*, *lack* and the circuit at every size are of {few} of the questions. " if few else ""


def _rivals(config: Mapping[str, Any]) -> int:
    """Return how many random circuits there were: cards of earlier versions tell of one number of draws."""
    return int(config.get("rivals") or config["randoms"])


def moves(card: Card) -> nx.DiGraph[str]:
    """Return whose vector moves whose behaviour beyond chance."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(card.personas)
    for name, own in card.personas.items():
        for goal in card.personas:
            cell = own.figures.get(f"moves {goal}")
            if cell and cell.p is not None and cell.p <= verdicts.ALPHA:
                graph.add_edge(name, goal, value=cell.value, interval=cell.interval, p=cell.p)
    return graph


def _unexplained(card: Card) -> list[str]:
    lines = []
    for name, own in card.personas.items():
        effect, carried = own.figures["effect"], own.figures.get("faithfulness")
        moved = f"{effect.value:+.3g}{tables.between(effect, '+.3g')}"
        told = f"- **{name}** ({own.verdict}): its prompt moves m_p by {moved} nats a token"
        if effect.p is None or effect.p > verdicts.ALPHA:
            lines.append(f"{told}, which nonsense in the same words does as well: no behaviour of its own was shown.")
            continue
        if carried is None:
            lines.append(f"{told}, of which no circuit was found to carry anything.")
            continue
        told += f"; the circuit carries {carried.value:.0%}{tables.between(carried, '.0%')} of that"
        if carried.p is None or carried.p > verdicts.ALPHA:
            lines.append(f"{told}, which random circuits as large do as well: how it comes about is not known.")
        elif carried.value > 1:
            lines.append(f"{told}: more than there is, so {carried.value - 1:.0%} is held down elsewhere, unexplained.")
        else:
            lines.append(f"{told}, and {1 - carried.value:.0%} of it has no explanation here.")
        if left := own.figures.get("residual"):
            lines[-1] += (
                f" Of what training changed, {left.value:.0%}{tables.between(left, '.0%')} comes back through no circuit."
            )
    return lines
