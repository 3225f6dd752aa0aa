"""Metric names and labels, and what is counted when."""

from __future__ import annotations

import platform

import attrs
import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from consolekit import __version__
from consolekit.auth.timed import OPERATIONS as STORE_OPERATIONS
from consolekit.core.errors import every_error
from consolekit.core.timings import Step, Timing
from consolekit.core.types import ConsoleKey, SessionInfo
from consolekit.kit.kit import OPERATIONS as PROVIDER_OPERATIONS
from consolekit.proxy.closecodes import ENDS
from consolekit.proxy.metrics import MERGE, SOCKETS, Metrics, Sources

VNC, MKS = ConsoleKey("vnc", "novnc"), ConsoleKey("mks", "webmks")
SESSION = SessionInfo(
    id="s", grant_id="g", key=VNC, server_id="web-1", subject="alice", address="192.0.2.1",
    started_at=1.0, issued_at=1.0, bytes_in=10, bytes_out=200,
)  # fmt: skip


class Rig:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.live: list[SessionInfo] = []
        self.pending = 0
        self.sockets: dict[str, int] = {}
        self.certificates: dict[str, float] = {}
        self.watching = True
        self.lost_lines = 0
        self.metrics = Metrics(
            [VNC, MKS],
            registry=self.registry,
            sources=Sources(
                live=lambda: self.live,
                pending=lambda: self.pending,
                sockets=lambda: self.sockets,
                watching=lambda: self.watching,
                certificates=lambda: self.certificates,
                lost_lines=lambda: self.lost_lines,
            ),
            providers=["lab"],
            validators=["own"],
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def labels_of(key: ConsoleKey) -> dict[str, str]:
    return {"protocol": key.protocol, "type": key.type}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_every_label_is_there_before_anything_has_happened(rig):
    for key in (VNC, MKS):
        labels = {"protocol": key.protocol, "type": key.type}
        assert rig.value("consolekit_sessions", **labels) == 0
        assert rig.value("consolekit_sessions_opened_total", **labels) == 0
        for reason in ENDS:
            assert rig.value("consolekit_sessions_ended_total", reason=reason, **labels) == 0
        for direction in ("in", "out"):
            assert rig.value("consolekit_bytes_total", direction=direction, **labels) == 0
    for code in (*every_error(), "viewer_gone"):
        assert rig.value("consolekit_refusals_total", code=code) == 0
    for why in ("pending", "pending_per_address", "proxy_protocol", "tls", "descriptors"):
        assert rig.value("consolekit_connections_refused_total", why=why) == 0
    assert rig.value("consolekit_open_seconds_count") == 0
    assert rig.value("consolekit_loop_lag_seconds_count") == 0
    for kind in SOCKETS:
        assert rig.value("consolekit_sockets", kind=kind) == 0


def test_every_call_that_is_measured_is_there_before_anything_has_happened(rig):
    labels = [("store", {"operation": name}) for name in STORE_OPERATIONS]
    labels += [("provider", {"provider": "lab", "operation": name}) for name in PROVIDER_OPERATIONS]
    labels += [("validator", {"validator": "own"})]
    labels += [
        (step, {"protocol": key.protocol, "type": key.type})
        for step in ("connect", "handshake")
        for key in (VNC, MKS)
    ]
    for step, of in labels:
        assert rig.value(f"consolekit_{step}_seconds_count", **of) == 0
        assert rig.value(f"consolekit_{step}_failures_total", **of) == 0


def test_calls_that_are_over(rig):
    rig.metrics.call_took(Timing(Step.CONNECT, ("vnc", "novnc"), 0.02, False))
    rig.metrics.call_took(Timing(Step.CONNECT, ("vnc", "novnc"), 5.0, True))
    of = {"protocol": "vnc", "type": "novnc"}
    assert rig.value("consolekit_connect_seconds_count", **of) == 2
    assert rig.value("consolekit_connect_seconds_bucket", le="0.025", **of) == 1
    assert rig.value("consolekit_connect_failures_total", **of) == 1


def test_a_name_that_nobody_configured_makes_no_series(rig):
    before = generate_latest(rig.registry)
    rig.metrics.call_took(Timing(Step.PROVIDER, ("whatever a token says", "open"), 0.02, True))
    assert generate_latest(rig.registry) == before


def test_what_is_read_when_asked(rig):
    rig.sockets, rig.certificates = {"listening": 3, "viewer": 2}, {"proxy": 1_900_000_000.0}
    assert rig.value("consolekit_sockets", kind="listening") == 3
    assert rig.value("consolekit_sockets", kind="server") == 0
    assert rig.value("consolekit_certificate_expiry_timestamp_seconds", listener="proxy") == 1_900_000_000
    assert rig.value("consolekit_revocations_up") == 1
    rig.lost_lines = 7
    assert rig.value("consolekit_log_lines_lost_total") == 7
    rig.watching = False
    assert rig.value("consolekit_revocations_up") == 0
    found = {"version": __version__, "python": platform.python_version()}
    assert rig.value("consolekit_build_info", **found) == 1


def test_what_is_merged_in_its_own_way_is_there(rig):
    ProcessCollector(registry=rig.registry)
    rig.certificates = {"proxy": 1.0}
    gauges = {family.name for family in rig.registry.collect() if family.type == "gauge"}
    assert set(MERGE) < gauges


def test_live_sessions_and_bytes_are_read_when_asked(rig):
    rig.live = [SESSION, attrs.evolve(SESSION, id="t", key=MKS, bytes_out=3)]
    rig.pending = 7
    assert rig.value("consolekit_sessions", protocol="vnc", type="novnc") == 1
    assert rig.value("consolekit_bytes_total", direction="out", **labels_of(VNC)) == 200
    assert rig.value("consolekit_bytes_total", direction="out", **labels_of(MKS)) == 3
    assert rig.value("consolekit_connections_pending") == 7


def test_bytes_never_go_back_when_a_session_ends(rig):
    rig.live = [SESSION]
    before = rig.value("consolekit_bytes_total", direction="in", **labels_of(VNC))
    rig.live = []
    rig.metrics.ended(attrs.evolve(SESSION, ended_at=2.0, reason="viewer_closed"), relayed=True)
    assert rig.value("consolekit_bytes_total", direction="in", **labels_of(VNC)) == before == 10
    assert (
        rig.value("consolekit_sessions_ended_total", protocol="vnc", type="novnc", reason="viewer_closed")
        == 1
    )


def test_what_never_relayed_is_a_refusal_and_no_end(rig):
    rig.metrics.ended(attrs.evolve(SESSION, reason="connect_failed"), relayed=False)
    rig.metrics.refused("connect_failed")
    assert b'reason="connect_failed"' not in generate_latest(rig.registry)
    assert rig.value("consolekit_refusals_total", code="connect_failed") == 1


def test_counts(rig):
    rig.metrics.opened(VNC)
    rig.metrics.connection_refused("tls")
    rig.metrics.took(0.02)
    rig.metrics.lagged(0.3)
    assert rig.value("consolekit_sessions_opened_total", protocol="vnc", type="novnc") == 1
    assert rig.value("consolekit_connections_refused_total", why="tls") == 1
    assert rig.value("consolekit_open_seconds_sum") == 0.02
    assert rig.value("consolekit_loop_lag_seconds_bucket", le="0.25") == 0
    assert rig.value("consolekit_loop_lag_seconds_bucket", le="0.5") == 1


def test_no_label_names_a_person_a_server_or_an_address(rig):
    rig.live = [SESSION]
    text = generate_latest(rig.registry).decode()
    assert not any(word in text for word in ("alice", "web-1", "192.0.2.1"))
