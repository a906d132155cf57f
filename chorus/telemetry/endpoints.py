"""Prometheus series of the servers behind one engine: which are there, what they do, and how much they find cached.

They are read off the engine's own counts when somebody scrapes. Beside the engine's labels each carries `endpoint`, the
server's base URL, which never holds a user or a password.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from chorus.engines.endpoints import Endpoint

LABELS = ("engine", "model", "endpoint")

_GAUGES = {"up": "Whether it gets calls.", "running": "Calls in flight."}
_COUNTERS = {
    "done": "Calls that it completed.",
    "failed": "Calls that it failed.",
    "spilled": "Calls at home here that went elsewhere, since it was full.",
    "prompt_tokens": "Tokens read, those found in the prefix cache included.",
    "cached_tokens": "Tokens read that were not computed again.",
}


class EndpointSeries(Collector):
    """The series of one engine's servers.

    Args:
        endpoints: the servers.
        engine: the values of the labels `engine` and `model`.
    """

    def __init__(self, endpoints: Sequence[Endpoint], engine: tuple[str, str]) -> None:
        self._endpoints = endpoints
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield each series with its values now."""
        kinds: tuple[tuple[Any, dict[str, str]], ...] = ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS))
        for kind, names in kinds:
            for name, help in names.items():
                family = kind(f"chorus_endpoint_{name}", help, labels=LABELS)
                for endpoint in self._endpoints:
                    family.add_metric([*self._engine, endpoint.name], float(getattr(endpoint, name)))
                yield family
