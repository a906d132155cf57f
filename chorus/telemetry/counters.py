"""Prometheus counters of what engines were asked for and what they did.

One `Counters` holds one registry of its own, so that two choruses in a process don't add up unless they are meant to.
Series carry the labels `engine` (the SPEC's first word) and `model`. A call is counted when it ends, by its outcome:
`done`, `failed` (the engine raised), `aborted` (cancelled: the debate was decided, cut or left). Tokens are those of
calls that were done, since nobody says what a broken call used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from chorus.errors import MissingExtra
from chorus.telemetry.naming import engine_name

if TYPE_CHECKING:
    import prometheus_client as prometheus

    from chorus.engines.endpoints import Endpoint

Outcome = Literal["done", "failed", "aborted"]

FIRST_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds: a prefix cache hit on a GPU … a long prompt on a CPU."""

CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Seconds: a ballot on a GPU … an inner chorus on a CPU."""

LABELS = ("engine", "model")


class EngineSeries(NamedTuple):
    """The series of one engine, looked up once, so that a call costs no search for its labels."""

    calls: dict[Outcome, prometheus.Counter]
    prompt_tokens: prometheus.Counter
    cached_tokens: prometheus.Counter
    completion_tokens: prometheus.Counter
    aborts: prometheus.Counter
    retries: prometheus.Counter
    running: prometheus.Gauge
    call_seconds: prometheus.Histogram
    first_token_seconds: prometheus.Histogram


class Counters:
    """Counters for any number of engines. Hand them to `Chorus(counters=…)`, or to `metered`.

    Args:
        registry: where the series are registered; a new one by default. One registry takes one `Counters`.

    Raises:
        MissingExtra: prometheus_client is not installed.
    """

    def __init__(self, registry: prometheus.CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise MissingExtra("counting an engine's calls", "telemetry") from error
        self._prometheus = prometheus
        self.registry = prometheus.CollectorRegistry() if registry is None else registry
        """Further series may be registered here; `render` shows them too."""
        self._calls = self._counter("calls", "Calls that have ended.", "outcome")
        self._prompt_tokens = self._counter("prompt_tokens", "Tokens read, those found in the prefix cache included.")
        self._cached_tokens = self._counter("cached_tokens", "Tokens read that were not computed again.")
        self._completion_tokens = self._counter("completion_tokens", "Tokens written.")
        self._aborts = self._counter("aborts", "Calls that were cancelled before they ended.")
        self._retries = self._counter("retries", "Calls made again after a fault that may pass.")
        self._running = prometheus.Gauge(
            "chorus_engine_running_calls", "Calls in flight.", LABELS, registry=self.registry
        )
        self._call_seconds = self._histogram("call_seconds", "Time of a call that was done.", CALL_BUCKETS)
        self._first_token_seconds = self._histogram(
            "first_token_seconds", "Time from a call's start to its first text.", FIRST_TOKEN_BUCKETS
        )

    @property
    def content_type(self) -> str:
        """The media type of what `render` returns."""
        return self._prometheus.CONTENT_TYPE_LATEST

    def render(self) -> bytes:
        """Return every series of the registry in Prometheus' text format."""
        return self._prometheus.generate_latest(self.registry)

    def of(self, spec: str) -> EngineSeries:
        """Return the series of the engine with this SPEC. They are there, at 0, from now on."""
        name = engine_name(spec)
        labels = (name.provider, name.model)
        outcomes: tuple[Outcome, ...] = ("done", "failed", "aborted")
        return EngineSeries(
            calls={outcome: self._calls.labels(*labels, outcome) for outcome in outcomes},
            prompt_tokens=self._prompt_tokens.labels(*labels),
            cached_tokens=self._cached_tokens.labels(*labels),
            completion_tokens=self._completion_tokens.labels(*labels),
            aborts=self._aborts.labels(*labels),
            retries=self._retries.labels(*labels),
            running=self._running.labels(*labels),
            call_seconds=self._call_seconds.labels(*labels),
            first_token_seconds=self._first_token_seconds.labels(*labels),
        )

    def follow(self, endpoints: Sequence[Endpoint], spec: str) -> Callable[[], None]:
        """Show what becomes of each of the servers behind one engine, until what is returned is called, once."""
        from chorus.telemetry.endpoints import EndpointSeries

        name = engine_name(spec)
        series = EndpointSeries(endpoints, (name.provider, name.model))
        self.registry.register(series)
        return lambda: self.registry.unregister(series)

    def _counter(self, name: str, help: str, *more: str) -> prometheus.Counter:
        return self._prometheus.Counter(f"chorus_engine_{name}_total", help, (*LABELS, *more), registry=self.registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> prometheus.Histogram:
        return self._prometheus.Histogram(
            f"chorus_engine_{name}", help, LABELS, registry=self.registry, buckets=buckets
        )
