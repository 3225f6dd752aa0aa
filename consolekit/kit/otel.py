"""Kit: OpenTelemetry spans, as a hook plug-in: the only door to opentelemetry. Extra ``otel``; the API alone.

``[hooks] enabled = ["otel"]``. Without an SDK in the process every span is a no-op. Names nothing that opens
anything: no token, ticket, password or link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import attrs
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from consolekit.__about__ import __version__
from consolekit.core.errors import ConsoleKitError
from consolekit.core.hooks import hookimpl
from consolekit.core.timings import TRACEPARENT
from consolekit.core.types import Caller, ConsoleRequest, SessionInfo

_REQUESTS: Final = ("create", "open")
_NAMES: Final[Mapping[str, str]] = {"validator": "redeem"}
_FAULT: Final = 500
_ERROR: Final = "error.type"


class Tracing:
    """Makes a trace of each request for a link, and one of each console.

    ``consolekit.create`` holds ``provider.check``, ``issue`` and ``store.put``, and continues the trace of
    the API's caller. ``consolekit.open`` begins with the browser's request and holds ``redeem``,
    ``store.take``, ``provider.open``, ``connect`` and ``handshake``; ``session`` is its child too, for as
    long as bytes flow. A grant has no room for a trace, so the two are found together by
    ``consolekit.grant_id``.

    Args:
        provider: Makes the spans; default: the process's own.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("consolekit", __version__, provider)
        self._contexts: dict[str, Context] = {}
        self._sessions: dict[str, Span] = {}

    @hookimpl
    def consolekit_step(self, step: str, labels: Mapping[str, str]) -> AbstractContextManager[object] | None:
        """A request is always a span; a call is one inside of a request that is traced."""
        if step in _REQUESTS:
            return self._span(step, {}, context=_parent(step), kind=SpanKind.SERVER)
        if not trace.get_current_span().is_recording():  # the program's own, such as to purge the store
            return None
        name = ".".join([_NAMES.get(step, step), *filter(None, [labels.get("operation")])])
        return self._span(name, labels, kind=SpanKind.INTERNAL if step == "issue" else SpanKind.CLIENT)

    @contextmanager
    def _span(
        self, name: str, labels: Mapping[str, str], *, kind: SpanKind, context: Context | None = None
    ) -> Iterator[None]:
        attributes = {f"consolekit.{label}": value for label, value in labels.items()}
        with self._tracer.start_as_current_span(
            f"consolekit.{name}",
            context,
            kind,
            attributes,
            record_exception=False,  # their texts are for our log
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as exc:
                _fail(span, exc)
                raise

    @hookimpl
    def consolekit_request_validated(self, request: ConsoleRequest, caller: Caller) -> None:
        """Who wants what."""
        trace.get_current_span().set_attributes(
            {
                "consolekit.console": str(request.key),
                "consolekit.server_id": request.server_id,
                "consolekit.subject": request.subject,
                "consolekit.mode": request.mode.value,
                "consolekit.caller": caller.name,
            }
        )

    @hookimpl
    def consolekit_session_opening(self, session: SessionInfo) -> None:
        """The token was good: now it is known who wants what."""
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(_attributes(session))
            self._contexts[session.id] = trace.set_span_in_context(span, Context())

    @hookimpl
    def consolekit_session_opened(self, session: SessionInfo) -> None:
        """Bytes flow."""
        context = self._contexts.pop(session.id, None)
        if context is not None:
            span = self._tracer.start_span("consolekit.session", context, attributes=_attributes(session))
            self._sessions[session.id] = span

    @hookimpl
    def consolekit_session_closed(self, session: SessionInfo) -> None:
        """It is over, or never was."""
        self._contexts.pop(session.id, None)
        span = self._sessions.pop(session.id, None)
        if span is not None:
            span.set_attribute("consolekit.reason", session.reason)
            span.set_attribute("consolekit.bytes_in", session.bytes_in)
            span.set_attribute("consolekit.bytes_out", session.bytes_out)
            span.end()

    @hookimpl
    def consolekit_access_refused(self, code: str, address: str) -> None:
        """The browser gets a status instead of a console."""
        trace.get_current_span().set_attributes({_ERROR: code, "client.address": address})


def _parent(step: str) -> Context | None:
    """The trace of the API's caller; a browser's own is not believed. None: whatever is current."""
    told = TRACEPARENT.get()
    if step != "create" or not told or trace.get_current_span().get_span_context().is_valid:
        return None
    return TraceContextTextMapPropagator().extract({"traceparent": told})


def _fail(span: Span, exc: BaseException) -> None:
    """A refusal is an answer; what is somebody's fault is an error."""
    if isinstance(exc, ConsoleKitError):
        kind, fault = exc.code, exc.status >= _FAULT
    else:
        kind, fault = type(exc).__name__, not isinstance(exc, asyncio.CancelledError)
    span.set_attribute(_ERROR, kind)
    if fault:
        span.set_status(StatusCode.ERROR, kind)


def _attributes(session: SessionInfo) -> dict[str, str]:
    shown = attrs.asdict(session, filter=attrs.filters.include("grant_id", "server_id", "subject"))
    return {
        **{f"consolekit.{name}": value for name, value in shown.items()},
        "consolekit.session_id": session.id,
        "consolekit.console": str(session.key),
        "consolekit.mode": session.mode.value,
        "client.address": session.address,
    }
