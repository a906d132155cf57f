"""The `chorus` command. Commands read their options, call the library, and show what comes; nothing is decided here.

Imports are made inside the commands, so that `chorus --help` stays quick and needs no extra. Other distributions and
floors add commands by the entry-point group `chorus.commands` (name -> click command).
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import os
import sys

import click

from chorus.cli.ask import ask
from chorus.cli.debate import debate
from chorus.cli.distill import distill
from chorus.cli.exits import INTERRUPTED, INTERRUPTION, UNFINISHED
from chorus.cli.keys import keys
from chorus.cli.models import models
from chorus.cli.personas import personas
from chorus.cli.replay import replay
from chorus.cli.serve import serve
from chorus.cli.store import store
from chorus.errors import ChorusError, ConfigError

GROUP = "chorus.commands"


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
                return _load(point)
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="greek-chorus", prog_name="chorus")
def chorus() -> None:
    """A chorus of personas debates your question on a graph, decides, and keeps the dissent."""


for _command in (ask, debate, distill, keys, models, personas, replay, serve, store):
    chorus.add_command(_command)


def main() -> None:
    """Run the command line and exit with its code: 0, 1 ours, 2 usage, 3 unfinished, 130 interrupted."""
    from personas import PersonaError

    try:
        code = chorus.main(prog_name="chorus", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(INTERRUPTION, err=True)
        # Nobody waits for a thread that may still be fetching or loading a model.
        os._exit(INTERRUPTED)
    except (ChorusError, PersonaError) as error:
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    except OSError as error:
        code = _output_failed(error)
    sys.exit(code if isinstance(code, int) else 0)


def _plugins() -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=GROUP))


def _load(point: importlib.metadata.EntryPoint) -> click.Command:
    """Load another distribution's command; one that can't be loaded says so when it is called, and spoils no other."""
    try:
        loaded: click.Command = point.load()
    except (ImportError, AttributeError) as error:
        problem = f"the command {point.name!r} of {point.value} can't be loaded: {error}"

        def refuse() -> None:
            raise ConfigError(problem)

        anything = {"ignore_unknown_options": True, "allow_extra_args": True}
        return click.Command(point.name, callback=refuse, help=problem, context_settings=anything)
    return loaded


def _output_failed(error: OSError) -> int:
    """Say that standard output takes no more, and return the exit code. Other faults are raised as they are.

    A reader that has gone is no fault: click ends the command without a word, and with 1.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        raise error
    with contextlib.suppress(OSError, ValueError):
        # What is still held back for it would be tried, and complained of, once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    click.echo(f"error: can't write the output: {error.strerror}", err=True)
    return UNFINISHED
