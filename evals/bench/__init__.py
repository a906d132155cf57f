"""Benchmarks. Each is a module that is run: `python -m evals.bench.NAME`."""
