"""What is measured: the load of each scenario, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

_MIB = 1 << 20


@attrs.frozen(kw_only=True)
class Reading:
    """One measurement as it was read.

    Attributes:
        cpu: Seconds of CPU that the proxy used, all its processes.
        wall: Seconds that it took.
        memory_before: KiB (PSS) before a viewer was there.
        memory_ready: With every session open.
        memory_after: At the end, the sessions still open.
        load: What ``viewers`` printed.
    """

    cpu: float
    wall: float
    memory_before: int
    memory_ready: int
    memory_after: int
    load: Mapping[str, float]


Figures = dict[str, float]


@attrs.frozen
class Scenario:
    """One kind of load.

    Attributes:
        name: In options and results.
        about: For the list of scenarios.
        mode: Of ``viewers``.
        figures: Makes figures of a reading.
        sessions: How many at the same time.
        options: Further options of ``viewers``.
        tls: Whether the browser's side is encrypted.
        console: Which console server.
        fresh: Whether the proxy is started anew for it, because memory is measured.
    """

    name: str
    about: str
    mode: str
    figures: Callable[[Scenario, Reading], Figures]
    sessions: int = 1
    options: Mapping[str, float] = attrs.field(factory=dict)
    tls: bool = False
    console: str = "raw"
    fresh: bool = False

    def fitted(self, most_sessions: int) -> Scenario | None:
        """The same for a peer that takes no more sessions; None where their number is the point."""
        if self.sessions <= most_sessions:
            return self
        return attrs.evolve(self, sessions=most_sessions) if self.mode == "idle" else None

    def connections(self) -> int:
        """The most connections that it can make."""
        return int(self.options.get("connections", self.sessions))


def _bulk(scenario: Scenario, reading: Reading) -> Figures:
    gigabytes = scenario.options["bytes"] * scenario.sessions / 1e9
    return {
        "cpu_s_per_gb": reading.cpu / gigabytes,
        "mb_per_s": gigabytes * 1e3 / reading.load["seconds"],
        "damaged": reading.load["bad"],
    }


def _ping(scenario: Scenario, reading: Reading) -> Figures:
    return {
        "cpu_us_per_message": reading.cpu / max(reading.load["done"], 1) * 1e6,
        "p50_ms": reading.load["p50_ms"],
        "p99_ms": reading.load["p99_ms"],
        "cpu_percent": reading.cpu / reading.wall * 100,
        "unanswered": reading.load["failed"],
    }


def _connect(scenario: Scenario, reading: Reading) -> Figures:
    done = max(reading.load["done"], 1)
    return {
        "per_s": done / reading.load["seconds"],
        "cpu_ms_each": reading.cpu / done * 1e3,
        "p50_ms": reading.load["p50_ms"],
        "p99_ms": reading.load["p99_ms"],
        "failed": reading.load["failed"],
    }


def _idle(scenario: Scenario, reading: Reading) -> Figures:
    grown = reading.memory_after - reading.memory_before
    return {"kib_per_session": grown / scenario.sessions, "kib_at_start": reading.memory_before}


def _stall(scenario: Scenario, reading: Reading) -> Figures:
    return {"grown_kib": reading.memory_after - reading.memory_ready}


_DOWN = {"unit": 64 * 1024, "bytes": 768 * _MIB}
_UP_LARGE = {"unit": 64 * 1024, "bytes": 512 * _MIB}
_UP_SMALL = {"unit": 4 * 1024, "bytes": 192 * _MIB}
_PING = {"unit": 1024, "rate": 5, "seconds": 4}
_CURVE = {sessions: {"unit": 1024, "rate": 5000 / sessions, "seconds": 3} for sessions in (1, 10, 100, 2000)}
_CONNECT = {"at-once": 16, "seconds": 2.5, "connections": 5000}
_STALL = {"unit": 64 * 1024, "bytes": 256 * _MIB, "seconds": 3}

_IDLE = {"seconds": 1.5}

_ALL = (
    Scenario("down", "bulk to the viewer", "down", _bulk, options=_DOWN),
    Scenario("up-4k", "bulk from the viewer, masked messages of 4 KiB", "up", _bulk, options=_UP_SMALL),
    Scenario("up-64k", "bulk from the viewer, masked messages of 64 KiB", "up", _bulk, options=_UP_LARGE),
    Scenario("ping-100", "8 bytes in, 1 KiB back, 5 a second, 100 sessions", "ping", _ping, 100, _PING),
    Scenario("ping-1000", "the same with 1000 sessions", "ping", _ping, 1000, _PING),
    Scenario("curve-1", "5000 messages a second on 1 session", "ping", _ping, 1, _CURVE[1]),
    Scenario("curve-10", "on 10 sessions", "ping", _ping, 10, _CURVE[10]),
    Scenario("curve-100", "on 100 sessions", "ping", _ping, 100, _CURVE[100]),
    Scenario("curve-2000", "on 2000 sessions", "ping", _ping, 2000, _CURVE[2000]),
    Scenario("ws-down", "bulk to the viewer from a server that speaks websocket", "down", _bulk,
             options=_DOWN, console="websocket"),
    Scenario("connect", "token, origin, new connection, first word, close", "connect", _connect, 1, _CONNECT),
    Scenario("connect-rfb", "the same with RFB security on both sides", "connect", _connect, 1, _CONNECT,
             console="rfb"),
    Scenario("tls-down", "bulk to the viewer over TLS", "down", _bulk, options=_DOWN, tls=True),
    Scenario("wss-down", "the same from a server that speaks websocket over TLS", "down", _bulk,
             options=_DOWN, tls=True, console="secure"),
    Scenario("tls-ping-1000", "ping-1000 over TLS", "ping", _ping, 1000, _PING, tls=True),
    Scenario("tls-connect", "connections over TLS, a full handshake each", "connect", _connect, 1, _CONNECT,
             tls=True),
    Scenario("idle", "memory of 1000 idle sessions", "idle", _idle, 1000, _IDLE, fresh=True),
    Scenario("tls-idle", "the same over TLS", "idle", _idle, 1000, _IDLE, fresh=True, tls=True),
    Scenario("stall-viewer", "growth while a viewer takes nothing", "stall-down", _stall, 1, _STALL,
             fresh=True),
    Scenario("stall-console", "growth while a console takes nothing", "stall-up", _stall, 1, _STALL,
             fresh=True),
)  # fmt: skip
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
