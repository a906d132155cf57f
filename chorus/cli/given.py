"""The command line that a result was made by, for whoever wants to make it again."""

from __future__ import annotations

import json
import shlex

import click
from click.core import ParameterSource


def as_given() -> str:
    """Return the command that is running with all that it was given, but for where its files lie: nobody else's matter."""
    context = click.get_current_context()
    words = context.command_path.split()
    for each in context.command.params:
        name = each.name or ""
        given = context.params[name]
        if name in ("out", "work") or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(given, dict):  # NAME=VALUE, read already
            given = tuple(
                f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in given.items()
            )
        for value in given if isinstance(given, tuple) else (given,):
            words += [*([each.opts[0]] if isinstance(each, click.Option) else []), str(value)]
    return shlex.join(words)
