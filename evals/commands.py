"""`chorus eval`: is a chorus worth its tokens? The commands of the proving ground, added to `chorus` by entry point.

Imports are made inside the commands, so that every `--help` works without the extra `evals`.
"""

from __future__ import annotations

import click


@click.group("eval")
def evaluate() -> None:
    """Measure ways of answering on tasks, at equal cost, with honest error bars."""
