"""The `chorus` command. Commands read their options, call the library, and show what comes; nothing is decided here.

Imports are made inside the commands, so that `chorus --help` stays quick and needs no extra. Other distributions and
floors add commands by the entry-point group `chorus.commands` (name -> click command).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.metadata
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chorus.errors import ChorusError, ConfigError

if TYPE_CHECKING:
    from chorus.chorus import Chorus
    from chorus.terminal import View
    from chorus.types import Answer, Question
    from personas import Persona

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

GROUP = "chorus.commands"
INTERRUPTED = 130
UNFINISHED = 3
OURS = 1
USAGE = 2

MAX_STDIN_BYTES = 1 << 20
"""Longer than any question may be, short enough to be held."""

MODES = click.Choice(["debate", "vote", "inner", "solo"])
LAYOUTS = click.Choice(["shared", "system"])
DETAILS = click.Choice(["brief", "full"])


class Commands(click.Group):
    """The built-in commands, and those that other distributions bring."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(context), *(point.name for point in _plugins())})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return a command; another distribution's is loaded only now."""
        if built_in := super().get_command(context, name):
            return built_in
        for point in _plugins():
            if point.name == name:
                loaded: click.Command = point.load()
                return loaded
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="greek-chorus", prog_name="chorus")
def chorus() -> None:
    """A chorus of personas debates your question on a graph, decides, and keeps the dissent."""


def settings_options(command: F) -> F:
    """Add the options that say how a question is answered. Their names are those of `Settings`."""
    options: list[Callable[[Any], Any]] = [
        click.option("--engine", metavar="SPEC", help="hf:NAME, openai:URL#MODEL or scripted:FILE.  [hf:smollm2-135m]"),
        click.option("--mode", type=MODES, help="debate along edges, vote apart, inner (one call), solo.  [debate]"),
        click.option(
            "--personas", metavar="IDS|PACK|FOLDER", help="Who speaks; auto matches, written has the model cast."
        ),
        click.option("--voices", type=int, help="How many seats auto and written fill.  [3]"),
        click.option(
            "--topology", metavar="SPEC", help="complete, ring, star, chain, tree, layers:2,1 … or a graph file."
        ),
        click.option("--rounds", type=int, help="Rounds of the debate.  [2]"),
        click.option(
            "--decision", metavar="NAME", help="plurality, weighted, borda, schulze, unanimity, judge, synthesis."
        ),
        click.option("--layout", type=LAYOUTS, help="Persona last, behind a shared prefix; or in the system message."),
        click.option("--openness", type=float, help="0 keep unless shown an error … 1 follow the majority."),
        click.option("--detail", type=DETAILS, help="How much voices read of their method.  [by the model's size]"),
        click.option("--temperature", type=float, help="What the personas' own offsets are added to.  [0]"),
        click.option("--max-tokens", type=int, help="Bound on one turn's length.  [64 for small models, else 512]"),
        click.option("--max-calls", type=int, help="Bound on engine calls for a question."),
        click.option("--max-total-tokens", type=int, help="Bound on all tokens for a question."),
        click.option("--max-seconds", type=float, help="Bound on wall-clock time for a question."),
        click.option("--seed", type=int, help="Repeats the draw where the engine can.  [0]"),
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path), help="Settings file.  [./chorus.toml]"
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@chorus.command()
@click.argument("question")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Print the answer alone.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Add the record to a JSONL file.")
@click.option(
    "--draw", type=click.Path(path_type=Path, dir_okay=False), help="Draw who heard whom: .svg .html .graphml .dot"
)
def ask(question: str, as_json: bool, quiet: bool, save: Path | None, draw: Path | None, **options: Any) -> int:
    """Put QUESTION to the chorus and watch it argue. QUESTION may be `-`, to read it from standard input."""
    from chorus.chorus import as_question
    from chorus.terminal import view

    asked = as_question(_standard_input() if question == "-" else question)
    _check_writable(save)
    _check_drawable(draw)
    maker = _chorus(options)
    held: list[Answer] = []
    try:
        with view(sys.stdout, quiet=quiet, json=as_json, names=_names(maker.settings.personas)) as shown:
            _run(_hold(maker, asked, shown, held), maker.settings.engine)
    finally:
        # Also of a debate that was interrupted: what was said is kept and printed.
        for answer in held:
            _hand_over(answer, as_json=as_json, quiet=quiet, save=save, draw=draw)
    return 0 if held[-1].status == "done" else UNFINISHED


@chorus.command()
@click.argument("questions", metavar="IN.jsonl", type=click.Path(path_type=Path))
@click.argument("records", metavar="OUT.jsonl", type=click.Path(path_type=Path))
@settings_options
@click.option("--concurrency", type=int, default=8, show_default=True, help="Debates at once.")
@click.option("--retry-failed", is_flag=True, help="Hold debates again whose record says failed.")
def debate(questions: Path, records: Path, concurrency: int, retry_failed: bool, **options: Any) -> int:
    """Put every question of IN.jsonl to the chorus, one record a question in OUT.jsonl. Resumes where it was ended."""
    from chorus.batch import debate_file
    from chorus.terminal.progress import progress

    maker = _chorus(options)
    with progress(sys.stderr) as advance:
        work = debate_file(
            maker, questions, records, concurrency=concurrency, retry_failed=retry_failed, advance=advance
        )
        done = _run(work, maker.settings.engine)
    click.echo(done.in_words(), err=True)
    return 0 if done.complete else UNFINISHED


@chorus.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "chosen", metavar="ID", help="Replay the record of this debate or question only.")
@click.option("--decision", metavar="NAME", help="Decide it again by this rule.")
@click.option("--engine", metavar="SPEC", help="Asked for the ballots, ruling or synthesis that a rule needs.")
@click.option("--personas", "folder", metavar="FOLDER", help="Where the voices' cards lie, if they are your own.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option(
    "--draw", type=click.Path(path_type=Path, dir_okay=False), help="Draw who heard whom: .svg .html .graphml .dot"
)
def replay(
    file: Path,
    chosen: str | None,
    decision: str | None,
    engine: str | None,
    folder: str | None,
    as_json: bool,
    draw: Path | None,
) -> int:
    """Show the debates saved in FILE again; with --decision, decide them by another rule."""
    from chorus.errors import RecordError
    from chorus.record import picture, transcript
    from chorus.replay import replayed
    from chorus.terminal import view

    if engine and not decision:
        raise click.UsageError("--engine is asked for a decision: name its rule with --decision")
    _check_drawable(draw)
    wanted = (record for record in transcript.read(file) if not chosen or chosen in (record.id, record.question.id))
    found = False
    for record in wanted:
        if found and draw:
            raise ConfigError(f"{file} holds several debates, and {draw} one picture: pick one with --id")
        found = True
        answer = _run(_redecide(record, decision, engine, folder), engine or "") if decision else record
        with view(sys.stdout, json=as_json, names=_names(folder)) as shown:
            for event in replayed(answer):
                shown.show(event)
        if as_json:
            click.echo(transcript.dumps(answer))
        if draw:
            picture.draw(answer, draw)
    if not found:
        raise RecordError(f"{file} holds no debate" + (f" with the id {chosen}" if chosen else ""))
    return 0


@chorus.group()
def personas() -> None:
    """The cast: list it, read a card, check your own."""


@personas.command("list")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def list_personas(folder: Path | None) -> int:
    """List the built-in personas, or those of FOLDER, by pack."""
    from personas import Library

    library = Library.from_folder(folder) if folder else Library.builtin()
    for pack, members in library.packs.items():
        click.secho(pack, bold=True)
        for persona in members:
            click.echo(f"  {persona.id:<14} {persona.summary}")
    return 0


@personas.command("show")
@click.argument("persona_id", metavar="ID")
def show_persona(persona_id: str) -> int:
    """Print a persona's card as YAML: a good start for a card of your own."""
    from personas import Library
    from personas.cardfile import dump_card

    click.echo("---\n".join(dump_card(persona) for persona in Library.builtin().select(persona_id)), nl=False)
    return 0


@personas.command("validate")
@click.argument("path", type=click.Path(path_type=Path))
def validate_personas(path: Path) -> int:
    """Check a card or a folder of cards, naming file, field and reason of every fault."""
    from personas import Library, validate
    from personas.cardfile import read_card
    from personas.cast import check

    faults = validate(path)
    for fault in faults:
        click.echo(str(fault), err=True)
    if faults:
        return USAGE
    cast = Library.from_folder(path).personas if path.is_dir() else (read_card(path),)
    for warning in check(cast):
        click.echo(f"note: {warning}", err=True)
    click.echo(f"{len(cast)} {'card is' if len(cast) == 1 else 'cards are'} in order")
    return 0


@chorus.group()
def models() -> None:
    """The models that `hf:NAME` opens."""


@models.command("list")
def list_models() -> int:
    """List the catalogue, with what each model needs and whether it is here."""
    from chorus import checkpoints

    click.secho(f"{'name':<18} {'weights':>8}  {'needs':<18} {'licence':<11} here  note", bold=True)
    for model in checkpoints.CATALOGUE.values():
        here = "yes" if checkpoints.local_path(model.name) else "-"
        click.echo(
            f"{model.name:<18} {model.parameters:>8}  {model.memory:<18} {model.license:<11} {here:<5} {model.note}"
        )
    click.echo("Any folder that transformers can load, or OWNER/NAME on the hub, is a name too.")
    return 0


@models.command("pull")
@click.argument("name")
@click.option("--force", is_flag=True, help="Fetch it anew, even if it is here.")
def pull_model(name: str, force: bool) -> int:
    """Fetch NAME, so that later runs need no network."""
    from chorus import checkpoints

    folder = checkpoints.resolve(name, _report, anew=force)
    checkpoints.check(folder)
    click.echo(folder)
    return 0


@models.command("path")
@click.argument("name")
def model_path(name: str) -> int:
    """Print the folder where NAME lies."""
    from chorus import checkpoints
    from chorus.errors import CheckpointError

    folder = checkpoints.local_path(name)
    if folder is None:
        raise CheckpointError(f"{name} is not on this machine yet: chorus models pull {name}")
    click.echo(folder)
    return 0


def main() -> None:
    """Run the command line and exit with its code: 0, 1 ours, 2 usage, 3 unfinished, 130 interrupted."""
    from personas import PersonaError

    try:
        code = chorus.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        # Nobody waits for a thread that may still be fetching or loading a model.
        os._exit(INTERRUPTED)
    except (ChorusError, PersonaError) as error:
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    except OSError as error:
        code = _output_failed(error)
    sys.exit(code if isinstance(code, int) else 0)


# ---- behind the commands -----------------------------------------------------------------------------------------


def _plugins() -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=GROUP))


def _chorus(options: dict[str, Any]) -> Chorus:
    from chorus import config
    from chorus.chorus import Chorus

    file = options.pop("config_file")
    return Chorus(settings=config.load(options, file), report=_report)


def _names(spec: str | None = None) -> dict[str, str]:
    """Return the names to show, by persona: the built-in ones', and those of the user's own that the SPEC names."""
    from personas import Library, PersonaError

    library = Library.builtin()
    own: tuple[Persona, ...] = ()
    with contextlib.suppress(PersonaError):
        own = library.select(spec or "")
    return {persona.id: persona.name for persona in (*library.personas, *own)}


def _standard_input() -> str:
    """Read a question, and not much more than one may be long."""
    return click.get_binary_stream("stdin").read(MAX_STDIN_BYTES).decode("utf-8", "replace")


def _report(step: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"… {step}", err=True)


def _run(work: Coroutine[Any, Any, T], engine: str) -> T:
    """Run to the end, on the clock that the engine lives by. Ctrl-C cancels the work and is raised afterwards."""
    from chorus.engines.registry import event_loop

    try:
        with asyncio.Runner(loop_factory=lambda: event_loop(engine)) as runner:
            return runner.run(work)
    finally:
        work.close()


async def _hold(maker: Chorus, question: Question, shown: View, held: list[Answer]) -> None:
    """Hold one debate, and leave its record in `held` whichever way it ends."""
    from contextlib import aclosing

    from chorus.record.events import Decided

    async with maker:
        debate = await maker.convene(question)
        try:
            async with aclosing(debate.run()) as events:
                async for event in events:
                    if isinstance(event, Decided):
                        held.append(event.answer)
                    shown.show(event)
        except BaseException as error:
            # Ctrl-C, an output that takes no more, a fault of ours: what was said until then is not lost.
            if not held:
                interrupted = isinstance(error, asyncio.CancelledError)
                held.append(debate.record("interrupted" if interrupted else str(error) or type(error).__name__))
                if interrupted:
                    shown.show(Decided(at=held[0].usage.wall_s, answer=held[0]))
            raise


async def _redecide(answer: Answer, rule: str, spec: str | None, folder: str | None) -> Answer:
    from chorus import config
    from chorus.engines import registry
    from chorus.replay import redecide
    from personas import Library

    library = Library.from_folder(folder) if folder else None
    if spec is None:
        return await redecide(answer, rule, None, library)
    options = config.load({"engine": spec}).engine_options
    engine = await registry.open_engine(spec, report=_report, **options)
    try:
        return await redecide(answer, rule, engine, library)
    finally:
        await engine.aclose()


def _check_writable(file: Path | None) -> None:
    """Refuse a place that can't be written to before a debate is held, not after."""
    if file is None:
        return
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"can't write {file}: there is no folder {file.parent}")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise ConfigError(f"can't write {file}: permission denied")


def _check_drawable(file: Path | None) -> None:
    """Refuse a picture that can't be made or written."""
    from chorus.record import picture

    if file and file.suffix.lower() not in picture.SUFFIXES:
        raise ConfigError(f"can't draw a debate as {str(file)!r}: its name should end in {', '.join(picture.SUFFIXES)}")
    _check_writable(file)


def _hand_over(answer: Answer, *, as_json: bool, quiet: bool, save: Path | None, draw: Path | None) -> None:
    """Save, draw and print a record; what fails keeps nothing else from being done."""
    from chorus.record import picture, transcript

    with contextlib.ExitStack() as last_first:
        last_first.callback(_print, answer, as_json=as_json, quiet=quiet)
        if draw:
            last_first.callback(picture.draw, answer, draw)
        if save:
            last_first.callback(transcript.append, answer, save)


def _print(answer: Answer, *, as_json: bool, quiet: bool) -> None:
    from chorus.record import transcript

    if as_json:
        click.echo(transcript.dumps(answer))
    elif quiet and answer.answer is not None:
        click.echo(answer.answer)
    if answer.status == "failed":
        click.echo(f"error: no answer: {answer.reason}", err=True)


def _output_failed(error: OSError) -> int:
    """Say that standard output takes no more, and return the exit code. Other faults are raised as they are."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    if not full and not isinstance(error, BrokenPipeError):
        raise error
    with contextlib.suppress(OSError, ValueError):
        # What is still held back for it would be tried, and complained of, once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not full:
        # Whoever read our output has gone, and wants to hear no more.
        return OURS
    click.echo(f"error: can't write the output: {error.strerror}", err=True)
    return UNFINISHED
