"""What Inspect calls us: `evals/debate`, `evals/questions`, `evals/graded`."""

from __future__ import annotations

from inspect_ai._util.package import get_installed_package_name

PACKAGE = "evals"


def named(name: str) -> str:
    """Return the name to register something under.

    Inspect puts a package's name before those of its solvers, tasks and scorers only where the package lies in
    site-packages; one that is installed to be edited, from another distribution name, would lose it.
    """
    return name if get_installed_package_name(named) else f"{PACKAGE}/{name}"
