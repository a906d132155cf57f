"""What the server counts, for Prometheus: requests, debates, and what waits. The engine's own counters stand beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chorus.telemetry.counters import Counters

if TYPE_CHECKING:
    from chorus.engines.turnstile import Turnstile
    from chorus.server.hall import Hall
    from chorus.server.live import LiveDebate

SECONDS = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Meters:
    """The server's series, in the registry of the engine's counters. One registry takes one of these."""

    def __init__(self, counters: Counters | None = None) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._counters = counters or Counters()
        registry = self._counters.registry
        self._requests = Counter(
            "chorus_http_requests_total", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "chorus_http_request_seconds", "Time until the last byte.", ("route",), registry=registry, buckets=SECONDS
        )
        self._debates = Counter(
            "chorus_debates_total", "Debates that have ended.", ("model", "status"), registry=registry
        )
        self._debate_seconds = Histogram(
            "chorus_debate_seconds", "Time that a debate took.", ("model",), registry=registry, buckets=SECONDS
        )
        self._store_failures = Counter(
            "chorus_store_failures_total", "Debates that could not be stored.", registry=registry
        )
        self._running = Gauge("chorus_debates_running", "Debates under way.", registry=registry)
        self._waiting = Gauge(
            "chorus_engine_waiting_calls", "Engine calls that wait for their turn.", registry=registry
        )

    def watch(self, hall: Hall, turnstiles: Sequence[Turnstile]) -> None:
        """Look there for what is under way and what waits."""
        self._running.set_function(lambda: hall.running)
        self._waiting.set_function(lambda: sum(turnstile.waiting for turnstile in turnstiles))

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def debate_ended(self, live: LiveDebate) -> None:
        """Count a debate."""
        if live.answer:
            self._debates.labels(live.model, live.answer.status).inc()
            self._debate_seconds.labels(live.model).observe(live.answer.usage.wall_s)

    def store_failed(self) -> None:
        """Count a debate that could not be written down."""
        self._store_failures.inc()

    def render(self) -> tuple[bytes, str]:
        """Return all series, and their media type."""
        return self._counters.render(), self._counters.content_type
