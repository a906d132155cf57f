"""The card as a person reads it: what is explained, what is not, by how much, and what follows."""

from __future__ import annotations

from pathlib import Path

import networkx as nx

from chorus.checkpoints.legibility import Card, Measured
from interp import influence, verdicts

REPORT = "legibility.md"
PLOT = "legibility.svg"
MATRIX = "voices.svg"


def write(card: Card, folder: Path, rule: str = "") -> Path:
    """Write the report and its plots, and return the report's path. `rule` is the rule of who acts when, in words."""
    draw(card, folder / PLOT)
    influence.draw(moves(card), folder / MATRIX)
    path = folder / REPORT
    part = path.with_name(f".{path.name}.part")
    part.write_text(text(card, rule))
    part.replace(path)
    return path


def text(card: Card, rule: str = "") -> str:
    """Return the report as Markdown."""
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
        "## Who moves whom",
        "",
        f"![Whose vector moves whose behaviour beyond chance]({MATRIX})",
        "",
        *_together("## What training changed", card.drift, "Not asked: no base model was given (`--base`)."),
        *_together("## Who acts when", card.rules, "Not asked: no dialogues of the model were given (`--dialogues`)."),
        *(["```", rule.rstrip(), "```", ""] if rule else []),
        "## How to read it",
        "",
        f"Measured on {config['test']} questions of the test split, which share neither a number nor a template with the "
        f"{config['discover']} that vectors and circuits were found on or the {config['select']} that the layer was chosen "
        "on. Intervals come from drawing questions anew (of reliability: from halving them); they don't cover other "
        f"templates or other wordings of the prompt. *By chance* is the middle 95 % of {config['randoms']} draws: placebo "
        "prompts of the same words (effect), random circuits as large (faithfulness, stability, residual), random "
        "directions of the same norm (steering, wrong way, moves), halves with sides swapped at random (reliability), "
        "labels swapped within questions (probe). A circuit "
        f"has {config['share']:.0%} of all edges. Probes read the same neutral answer under either prompt and are tested on "
        "wordings of the prompt that they were not fitted on; their p is corrected for all layers and personas by Holm's "
        "method, that of *moves* for the whole matrix by its largest cell. Other p-values are not corrected for the number "
        "of personas: all bars have to be cleared together. *Specificity* is faithfulness less the mean of what other "
        "personas' circuits carry of the same behaviour; *mean faithfulness* replaces by means where faithfulness "
        "replaces by the other prompt's values. What is not in the table below decides nothing.",
        "",
        verdicts.table(),
    ]
    return "\n".join(lines) + "\n"


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


def draw(card: Card, path: Path) -> None:
    """Draw each figure of each persona with its interval, over the band that chance gives."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(card.personas)
    figures = [bar.figure for bar in verdicts.BARS if all(bar.figure in card.personas[name].figures for name in names)]
    picture = Figure(figsize=(2.6 * len(figures), 1 + 0.5 * len(names)))
    FigureCanvasAgg(picture)
    for axes, figure in zip(picture.subplots(1, len(figures), sharey=True, squeeze=False)[0], figures, strict=True):
        for place, name in enumerate(names):
            own = card.personas[name].figures[figure]
            if own.null:
                axes.barh(place, own.null[1] - own.null[0], left=own.null[0], height=0.6, color="0.85")
            if own.interval:
                axes.plot(own.interval, (place, place), color="tab:blue", linewidth=2)
            axes.plot(own.value, place, "o", color="tab:blue")
        axes.set_title(figure, fontsize=9)
        axes.axvline(0, color="0.6", linewidth=0.6)
        axes.tick_params(labelsize=7)
        axes.set_yticks(range(len(names)), names)
    picture.tight_layout()
    picture.savefig(path)


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
