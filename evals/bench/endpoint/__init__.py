"""The endpoint under load and trouble: `python -m evals.bench.endpoint`."""
