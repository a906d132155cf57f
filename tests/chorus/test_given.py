"""The command that a result tells, so that whoever reads it can make it again."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from chorus.cli.given import as_given


@click.command("measure")
@click.argument("model")
@click.option("--depth", default="full")
@click.option("--persona", "personas", multiple=True)
@click.option("--out", default="here")
@click.option("--work")
def measure(**_):
    click.echo(as_given())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tiny"], "measure tiny"),
        (["tiny", "--depth", "full"], "measure tiny --depth full"),
        (["a model", "--persona", "one", "--persona", "two"], "measure 'a model' --persona one --persona two"),
        (["tiny", "--out", "there", "--work", "elsewhere"], "measure tiny"),
    ],
    ids=["no default is told", "what was given is, were it the default", "all of several", "not where files lie"],
)
def test_a_result_tells_what_its_command_was_given(arguments, told):
    assert CliRunner().invoke(measure, arguments).output.strip() == told
