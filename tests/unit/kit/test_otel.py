"""Spans of steps and sessions, as an SDK gets them."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.hooks import Hooks
from consolekit.core.timings import TRACEPARENT, Step, Timings
from consolekit.core.types import Caller, ConsoleKey, ConsoleRequest, SessionInfo
from consolekit.kit.otel import Tracing
from consolekit.testing.clock import ManualClock

KEY = ConsoleKey("vnc", "novnc")
SESSION = SessionInfo(
    id="s1",
    grant_id="g1",
    key=KEY,
    server_id="web-1",
    subject="alice",
    address="192.0.2.7",
    started_at=1.0,
    issued_at=0.0,
)
CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLERS_SPAN = "b7ad6b7169203331"


class Rig:
    def __init__(self) -> None:
        self.memory = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.hooks = Hooks()
        self.hooks.register(Tracing(provider), "otel")
        self.timings = Timings(ManualClock())
        self.timings.around = self.hooks.around

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name.removeprefix("consolekit."): span for span in self.memory.get_finished_spans()}

    def told(self, name: str) -> dict[str, object]:
        span = self.spans[name]
        return {key.removeprefix("consolekit."): value for key, value in (span.attributes or {}).items()}

    def parent(self, name: str) -> str | None:
        """The parent's name."""
        parent = self.spans[name].parent
        by_id = {span.context.span_id: shown for shown, span in self.spans.items()}
        return None if parent is None else by_id[parent.span_id]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_calls_are_inside_of_the_request_that_needs_them(rig: Rig) -> None:
    with rig.timings.step("open"):
        with rig.timings.measure(Step.VALIDATOR, "own"), rig.timings.measure(Step.STORE, "take"):
            pass
        with rig.timings.measure(Step.PROVIDER, "lab", "open"):
            pass
        with rig.timings.measure(Step.CONNECT, "vnc", "novnc"):
            pass
    parents = {name: rig.parent(name) for name in rig.spans}
    assert parents == {
        "open": None,
        "redeem": "open",
        "store.take": "redeem",
        "provider.open": "open",
        "connect": "open",
    }
    assert rig.told("provider.open") == {"provider": "lab", "operation": "open"}
    assert rig.told("connect") == {"protocol": "vnc", "type": "novnc"}
    assert (rig.spans["open"].kind, rig.spans["connect"].kind) == (SpanKind.SERVER, SpanKind.CLIENT)


def test_what_the_program_does_by_itself_is_no_trace(rig: Rig) -> None:
    with rig.timings.measure(Step.STORE, "purge"):
        pass
    assert rig.spans == {}


def test_who_wants_what_is_told_as_soon_as_it_is_known(rig: Rig) -> None:
    with rig.timings.step("create"):
        request = ConsoleRequest(key=KEY, server_id="web-1", subject="alice", params={"port": 5})
        rig.hooks.notify("consolekit_request_validated", request=request, caller=Caller(name="portal"))
        with rig.timings.step("issue", grant_id="g1"):
            pass
    who = {"console": "vnc/novnc", "server_id": "web-1", "subject": "alice", "mode": "interact"}
    assert rig.told("create") == {**who, "caller": "portal"}
    assert rig.told("issue") == {"grant_id": "g1"}


async def test_a_session_is_in_the_trace_of_its_request_and_outlives_it(rig: Rig) -> None:
    with rig.timings.step("open"):
        rig.hooks.notify("consolekit_session_opening", session=SESSION)
    rig.hooks.notify("consolekit_session_opened", session=SESSION)
    assert set(rig.spans) == {"open"}
    ended = attrs.evolve(SESSION, ended_at=5.0, reason="viewer_closed", bytes_in=10, bytes_out=20)
    rig.hooks.notify("consolekit_session_closed", session=ended)
    assert rig.parent("session") == "open"
    who = {
        "console": "vnc/novnc",
        "server_id": "web-1",
        "subject": "alice",
        "mode": "interact",
        "grant_id": "g1",
        "session_id": "s1",
        "client.address": "192.0.2.7",
    }
    assert rig.told("open") == who
    assert rig.told("session") == {**who, "reason": "viewer_closed", "bytes_in": 10, "bytes_out": 20}


def test_a_session_that_never_opened_is_no_span_and_nothing_stays(rig: Rig) -> None:
    tracing = rig.hooks._manager.get_plugin("otel")
    with rig.timings.step("open"):
        rig.hooks.notify("consolekit_session_opening", session=SESSION)
        rig.hooks.notify("consolekit_session_closed", session=attrs.evolve(SESSION, reason="connect_failed"))
        rig.hooks.notify("consolekit_access_refused", code="connect_failed", address="192.0.2.7")
    assert set(rig.spans) == {"open"}
    assert rig.told("open")["error.type"] == "connect_failed"
    assert (tracing._contexts, tracing._sessions) == ({}, {})


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        (TokenRefused("ckt_secret"), "token_refused", StatusCode.UNSET),
        (StoreUnavailable("at redis://user:secret@host"), "store_unavailable", StatusCode.ERROR),
        (KeyError("secret"), "KeyError", StatusCode.ERROR),
        (asyncio.CancelledError("secret"), "CancelledError", StatusCode.UNSET),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_how_it_failed_without_the_words_of_the_error(
    rig: Rig, fault: BaseException, kind: str, status: StatusCode
) -> None:
    with pytest.raises(type(fault)), rig.timings.step("open"), rig.timings.measure(Step.VALIDATOR, "own"):
        raise fault
    span = rig.spans["redeem"]
    assert rig.told("redeem") == {"validator": "own", "error.type": kind}
    assert span.status.status_code is status
    assert "secret" not in span.to_json()


@pytest.mark.parametrize(
    ("step", "told", "trace", "parent"),
    [
        ("create", f"00-{CALLERS_TRACE}-{CALLERS_SPAN}-01", CALLERS_TRACE, CALLERS_SPAN),
        ("create", "nonsense", None, None),
        ("create", "", None, None),
        ("open", f"00-{CALLERS_TRACE}-{CALLERS_SPAN}-01", None, None),  # a browser is not believed
    ],
)
def test_the_trace_of_the_api_s_caller_is_continued(
    rig: Rig, step: str, told: str, trace: str | None, parent: str | None
) -> None:
    token = TRACEPARENT.set(told)
    try:
        with rig.timings.step(step):
            pass
    finally:
        TRACEPARENT.reset(token)
    span = rig.spans[step]
    if trace is None:
        assert span.parent is None
        assert f"{span.context.trace_id:032x}" != CALLERS_TRACE
    else:
        assert span.parent is not None
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, parent)


def test_a_trace_that_somebody_else_has_begun_in_this_process_is_continued(rig: Rig) -> None:
    tracing = rig.hooks._manager.get_plugin("otel")
    token = TRACEPARENT.set(f"00-{CALLERS_TRACE}-{CALLERS_SPAN}-01")
    try:
        with tracing._tracer.start_as_current_span("theirs"), rig.timings.step("create"):
            pass
    finally:
        TRACEPARENT.reset(token)
    assert rig.parent("create") == "theirs"


def test_without_an_sdk_nothing_happens() -> None:
    hooks = Hooks()
    hooks.register(Tracing(), "otel")
    timings = Timings(ManualClock())
    timings.around = hooks.around
    with timings.step("open"):
        hooks.notify("consolekit_session_opening", session=SESSION)
        with timings.measure(Step.STORE, "take"):
            pass
    for hook in ("opened", "closed"):
        hooks.notify(f"consolekit_session_{hook}", session=SESSION)
    tracing = hooks._manager.get_plugin("otel")
    assert (tracing._contexts, tracing._sessions) == ({}, {})
