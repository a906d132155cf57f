"""The options that say how a question is answered, and the chorus that they make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from chorus.chorus import Chorus

F = TypeVar("F", bound=Callable[..., Any])

MODES = click.Choice(["debate", "vote", "inner", "solo"])
POSITIONS = click.Choice(["text", "json"])
LAYOUTS = click.Choice(["shared", "system"])
DETAILS = click.Choice(["brief", "full"])
TELEMETRY = click.Choice(["off", "otel"])


class _Decision(click.Option):
    """An option whose help lists the rules that there are, once it is asked for: naming them loads the debate."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from chorus.debate.decide import RULES

        self.help = f"{', '.join(RULES)}."
        return super().get_help_record(ctx)


def settings_options(command: F) -> F:
    """Add the options that say how a question is answered. Their names are those of `Settings`."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--engine", metavar="SPEC", help="hf:NAME, vllm:NAME, openai:URL#MODEL or scripted:FILE.  [hf:smollm2-135m]"
        ),
        click.option("--mode", type=MODES, help="debate along edges, vote apart, inner (one call), solo.  [debate]"),
        click.option(
            "--personas", metavar="IDS|PACK|FOLDER", help="Who speaks; auto matches, written has the model cast."
        ),
        click.option("--voices", type=int, help="How many seats auto and written fill.  [3]"),
        click.option(
            "--topology", metavar="SPEC", help="complete, ring, star, chain, tree, layers:2,1 … or a graph file."
        ),
        click.option("--rounds", type=int, help="Rounds of the debate.  [2; a small model 1]"),
        click.option("--decision", cls=_Decision, metavar="NAME"),
        click.option(
            "--early-stop/--no-early-stop",
            default=None,
            help="End a vote once the votes to come can't change it.  [yes]",
        ),
        click.option(
            "--stop-error", type=float, help="End a vote early at this risk of being wrong.  [0: only when sure]"
        ),
        click.option(
            "--positions", type=POSITIONS, help="How voices state them; json by a schema where that works.  [text]"
        ),
        click.option("--calibration", type=click.Path(), help="calibration.json: what confidences are worth."),
        click.option("--gate/--no-gate", default=None, help="A few voices first; all only if these don't agree.  [no]"),
        click.option("--layout", type=LAYOUTS, help="Persona last, behind a shared prefix; or in the system message."),
        click.option("--openness", type=float, help="0 keep unless shown an error … 1 follow the majority."),
        click.option("--detail", type=DETAILS, help="How much voices read of their method.  [by the model's size]"),
        click.option("--temperature", type=float, help="What the personas' own offsets are added to.  [0]"),
        click.option("--max-tokens", type=int, help="Bound on one turn's length.  [64 for small models, else 512]"),
        click.option("--max-calls", type=int, help="Bound on engine calls for a question."),
        click.option("--max-total-tokens", type=int, help="Bound on all tokens for a question."),
        click.option("--max-seconds", type=float, help="Bound on wall-clock time for a question."),
        click.option("--seed", type=int, help="Repeats the draw where the engine can.  [0]"),
        click.option("--telemetry", type=TELEMETRY, help="otel: debates as OpenTelemetry spans.  [off]"),
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path), help="Settings file.  [./chorus.toml]"
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def ray_options(command: F) -> F:
    """Add the options that say on which Ray cluster the engines are."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--ray",
            metavar="ADDRESS",
            help="Use engines on a Ray cluster: HOST:PORT, auto, or local to start one.",
        ),
        click.option(
            "--workers", type=click.IntRange(min=1), help="Workers on Ray, each with an engine.  [one a node]"
        ),
        click.option(
            "--gpus",
            type=click.FloatRange(min=0),
            default=0.0,
            help="GPUs of each worker, for engines that compute in it.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def chorus_from(options: dict[str, Any]) -> Chorus:
    """Return the chorus that the options ask for. Raises ConfigError."""
    from chorus import config
    from chorus.chorus import Chorus

    file = options.pop("config_file")
    return Chorus(settings=config.load(options, file), report=report)


def report(step: str) -> None:
    """Tell a person who watches of a step that takes long."""
    if sys.stderr.isatty():
        click.echo(f"… {step}", err=True)
