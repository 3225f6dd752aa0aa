"""Proxy: every metric's name and labels, in one place. Names are public and stay.

Every label value is there from the start, so that a dashboard shows zero before the first failure. Live
numbers (sessions, bytes) are read when somebody asks, never counted per message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consolekit.core.errors import every_error
from consolekit.core.types import ConsoleKey, SessionInfo
from consolekit.proxy.closecodes import ENDS

_OPEN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REFUSED_CONNECTIONS = ("pending", "pending_per_address", "proxy_protocol", "tls", "descriptors")


class Metrics:
    """The figures of one proxy.

    Args:
        keys: The pairs that are offered: the only label values of a pair.
        registry: Where to register; an embedder passes its own.
        live: Gives the live sessions' views.
        pending: Gives the number of connections that have shown no token yet.
    """

    def __init__(
        self,
        keys: Iterable[ConsoleKey],
        *,
        registry: CollectorRegistry,
        live: Callable[[], Iterable[SessionInfo]],
        pending: Callable[[], int],
    ) -> None:
        self.registry = registry
        self._keys = tuple(keys)
        self._bytes = {"in": 0, "out": 0}
        self._opened = Counter(
            "consolekit_sessions_opened", "Sessions whose bytes began to flow", ["protocol", "type"],
            registry=registry,
        )  # fmt: skip
        self._ended = Counter(
            "consolekit_sessions_ended", "Sessions that ended, by why", ["protocol", "type", "reason"],
            registry=registry,
        )  # fmt: skip
        self._refusals = Counter(
            "consolekit_refusals", "Browsers refused before any byte flowed, by error code", ["code"],
            registry=registry,
        )  # fmt: skip
        self._connections = Counter(
            "consolekit_connections_refused", "Connections turned away before any request", ["why"],
            registry=registry,
        )  # fmt: skip
        self._open_seconds = Histogram(
            "consolekit_open_seconds", "From the browser's request to its 101", buckets=_OPEN_BUCKETS,
            registry=registry,
        )  # fmt: skip
        self._fill_labels()
        registry.register(_Live(self._keys, live, pending, self._bytes))

    def _fill_labels(self) -> None:
        for key in self._keys:
            self._opened.labels(key.protocol, key.type)
            for reason in ENDS:
                self._ended.labels(key.protocol, key.type, reason)
        for code in (*every_error(), "viewer_gone"):
            self._refusals.labels(code)
        for why in _REFUSED_CONNECTIONS:
            self._connections.labels(why)

    def opened(self, key: ConsoleKey) -> None:
        """A session's bytes begin to flow."""
        self._opened.labels(key.protocol, key.type).inc()

    def ended(self, session: SessionInfo, *, relayed: bool) -> None:
        """A session has ended; only one whose bytes flowed counts as such, the rest are refusals."""
        if relayed:
            self._ended.labels(session.key.protocol, session.key.type, session.reason).inc()
            self._bytes["in"] += session.bytes_in
            self._bytes["out"] += session.bytes_out

    def refused(self, code: str) -> None:
        """A browser was refused with an HTTP status."""
        self._refusals.labels(code).inc()

    def connection_refused(self, why: str) -> None:
        """A connection was turned away by the listener."""
        self._connections.labels(why).inc()

    def took(self, seconds: float) -> None:
        """A browser got its 101 after so long."""
        self._open_seconds.observe(seconds)


class _Live(Collector):
    """What is read when somebody asks."""

    def __init__(
        self,
        keys: tuple[ConsoleKey, ...],
        live: Callable[[], Iterable[SessionInfo]],
        pending: Callable[[], int],
        ended: dict[str, int],
    ) -> None:
        self._keys, self._sessions, self._pending, self._ended = keys, live, pending, ended

    def collect(self) -> Iterable[Metric]:
        """One pass over the live sessions."""
        sessions = list(self._sessions())
        live = GaugeMetricFamily("consolekit_sessions", "Live sessions", labels=["protocol", "type"])
        for key in self._keys:
            live.add_metric([key.protocol, key.type], sum(s.key == key for s in sessions))
        yield live
        volume = CounterMetricFamily(
            "consolekit_bytes", "Payload, in from viewers and out to them", labels=["direction"]
        )
        volume.add_metric(["in"], self._ended["in"] + sum(s.bytes_in for s in sessions))
        volume.add_metric(["out"], self._ended["out"] + sum(s.bytes_out for s in sessions))
        yield volume
        yield GaugeMetricFamily(
            "consolekit_connections_pending",
            "Connections that have shown no token yet",
            value=self._pending(),
        )
