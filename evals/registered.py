"""Everything that Inspect may find here by name: the target of our entry point in its group `inspect_ai`."""

from evals import inspect_tasks, provider, scorers, solvers

__all__ = ["inspect_tasks", "provider", "scorers", "solvers"]
