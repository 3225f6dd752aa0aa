"""Proxy: every metric's name and labels, in one place. Names are public and stay.

Every label value is there from the start, so that a dashboard shows zero before the first failure. Live
numbers (sessions, bytes) are read when somebody asks, never counted per message.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consolekit.__about__ import __version__
from consolekit.core.errors import every_error
from consolekit.core.timings import Timing
from consolekit.core.types import ConsoleKey, SessionInfo
from consolekit.proxy.closecodes import ENDS
from consolekit.proxy.durations import Durations

_OPEN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REFUSED_CONNECTIONS = ("pending", "pending_per_address", "proxy_protocol", "tls", "descriptors")
_DIRECTIONS = ("in", "out")
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

SOCKETS: Final = ("listening", "http", "viewer", "server")

MERGE: Final[Mapping[str, Callable[[float, float], float]]] = {
    "consolekit_build_info": max,
    "consolekit_certificate_expiry_timestamp_seconds": min,  # the one that ends first
    "consolekit_revocations_up": min,  # one that hears none is one too many
    "process_open_fds": max,  # the fullest process beside the lowest limit
    "process_max_fds": min,
    "process_start_time_seconds": min,
}
"""How one figure is made of several processes' where it is not their sum."""


@attrs.frozen(kw_only=True)
class Sources:
    """What is read when somebody asks.

    Attributes:
        live: Gives the live sessions' views.
        pending: Gives the number of connections that have shown no token yet.
        sockets: Gives the number of our sockets, by kind: one of ``SOCKETS``.
        watching: Says whether revocations are heard.
        certificates: Gives when (epoch s) each listener's certificate ends; only of those with TLS.
        lost_lines: Gives how many lines of the log nobody took.
    """

    live: Callable[[], Iterable[SessionInfo]] = tuple
    pending: Callable[[], int] = int
    sockets: Callable[[], Mapping[str, int]] = dict
    watching: Callable[[], bool] = bool
    certificates: Callable[[], Mapping[str, float]] = dict
    lost_lines: Callable[[], int] = int


class Metrics:
    """The figures of one proxy.

    Args:
        keys: The pairs that are offered: the only label values of a pair.
        registry: Where to register; an embedder passes its own.
        sources: What is read when somebody asks.
        providers: The configured providers' names, as label values.
        validators: The token validators' names, as label values.
    """

    def __init__(
        self,
        keys: Iterable[ConsoleKey],
        *,
        registry: CollectorRegistry,
        sources: Sources,
        providers: Iterable[str] = (),
        validators: Iterable[str] = (),
    ) -> None:
        self.registry = registry
        self._keys = tuple(keys)
        self._bytes = {(key, direction): 0 for key in self._keys for direction in _DIRECTIONS}
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
        self._lag = Histogram(
            "consolekit_loop_lag_seconds", "How late the event loop ran a timer, sampled twice a second",
            buckets=_LAG_BUCKETS, registry=registry,
        )  # fmt: skip
        self._durations = Durations(self._keys, providers=providers, validators=validators, registry=registry)
        self._fill_labels()
        registry.register(_Live(self._keys, sources, self._bytes))

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
            _add_bytes(self._bytes, session)

    def refused(self, code: str) -> None:
        """A browser was refused with an HTTP status."""
        self._refusals.labels(code).inc()

    def connection_refused(self, why: str) -> None:
        """A connection was turned away by the listener."""
        self._connections.labels(why).inc()

    def took(self, seconds: float) -> None:
        """A browser got its 101 after so long."""
        self._open_seconds.observe(seconds)

    def call_took(self, timing: Timing) -> None:
        """A call to the store, a validator, a provider or a server is over."""
        self._durations.took(timing)

    def lagged(self, seconds: float) -> None:
        """The event loop ran a timer so late."""
        self._lag.observe(seconds)


class _Live(Collector):
    """What is read when somebody asks."""

    def __init__(
        self, keys: tuple[ConsoleKey, ...], sources: Sources, ended: Mapping[tuple[ConsoleKey, str], int]
    ) -> None:
        self._keys, self._sources, self._ended = keys, sources, ended

    def collect(self) -> Iterable[Metric]:
        """Whatever is there now."""
        yield from self._of_sessions(list(self._sources.live()))
        pending = self._sources.pending()
        yield _gauge("connections_pending", "Connections that have shown no token yet", pending)
        counted = self._sources.sockets()
        yield _by(
            "sockets", "Sockets that are open", "kind", {kind: counted.get(kind, 0) for kind in SOCKETS}
        )
        up = self._sources.watching()
        yield _gauge("revocations_up", "1 while revocations are heard, 0 while the store is away", up)
        yield lost_lines(self._sources.lost_lines())
        ends = self._sources.certificates()
        text = "When a listener's certificate ends (epoch s)"
        yield _by("certificate_expiry_timestamp_seconds", text, "listener", ends)
        names = ["version", "python"]
        build = GaugeMetricFamily("consolekit_build_info", "What runs here; always 1", labels=names)
        build.add_metric([__version__, platform.python_version()], 1)
        yield build

    def _of_sessions(self, sessions: list[SessionInfo]) -> Iterable[Metric]:
        live = GaugeMetricFamily("consolekit_sessions", "Live sessions", labels=["protocol", "type"])
        for key in self._keys:
            live.add_metric([key.protocol, key.type], sum(s.key == key for s in sessions))
        yield live
        volume = CounterMetricFamily(
            "consolekit_bytes",
            "Payload, in from viewers and out to them",
            labels=["protocol", "type", "direction"],
        )
        carried = dict(self._ended)
        for session in sessions:
            _add_bytes(carried, session)
        for (key, direction), count in carried.items():
            volume.add_metric([key.protocol, key.type, direction], count)
        yield volume


def lost_lines(count: int) -> Metric:
    """The figure of a process's log: each process has one, the parent of workers too."""
    text = "Lines of the log that nobody took"
    return CounterMetricFamily("consolekit_log_lines_lost", text, value=count)


def _add_bytes(counts: dict[tuple[ConsoleKey, str], int], session: SessionInfo) -> None:
    for direction, count in zip(_DIRECTIONS, (session.bytes_in, session.bytes_out), strict=True):
        if (session.key, direction) in counts:  # a pair that a token brings along makes no new series
            counts[session.key, direction] += count


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"consolekit_{name}", text, value=value)


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"consolekit_{name}", text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
