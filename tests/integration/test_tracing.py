"""Traces of a running gateway: the way of one console as spans, from the API's call to the session's end."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import websockets.exceptions
from gateway import echo, target
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from served import SETTINGS
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from consolekit.cli.server import Server
from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.kit.otel import Tracing

CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CALLERS_TRACE}-b7ad6b7169203331-01"


@attrs.frozen
class Rig:
    """A gateway in this process, and what an SDK got of it."""

    server: Server
    memory: InMemorySpanExporter

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name.removeprefix("consolekit."): span for span in self.memory.get_finished_spans()}

    async def until(self, name: str) -> dict[str, ReadableSpan]:
        """Every span so far, once one of this name is done."""
        async with asyncio.timeout(20):
            while name not in self.spans():
                await asyncio.sleep(0.005)
        return self.spans()

    async def link(self, server: str = "a") -> str:
        def ask() -> str:
            request = urllib.request.Request(
                f"{self.server.api_url}/servers/{server}/console",
                json.dumps({"protocol": "serial", "type": "serial", "subject": "alice"}).encode(),
                {"Content-Type": "application/json", "Traceparent": TRACEPARENT},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(json.load(answer)["url"])

        return await asyncio.to_thread(ask)

    def console(self, url: str) -> connect:
        headers = {"Traceparent": TRACEPARENT}
        return connect(url, subprotocols=[Subprotocol("binary")], additional_headers=headers, proxy=None)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    async with target(echo) as endpoint:
        file = tmp_path / "consolekit.toml"
        file.write_text(
            f'{SETTINGS}[providers.lab]\nuse = "serial"\n'
            f'[providers.lab.servers.a]\naddress = "127.0.0.1:{endpoint.port}"\n'
            '[providers.lab.servers.dead]\naddress = "127.0.0.1:1"\n'
        )
        loaded = load(file, env={})
        kit = build_kit(loaded)
        kit.hooks.register(Tracing(provider), "otel")
        server = Server(loaded.config, kit)
        await server.start()
        try:
            yield Rig(server, memory)
        finally:
            await server.aclose()


def parents(spans: dict[str, ReadableSpan]) -> dict[str, str | None]:
    """Each span's parent, by name; None for one that is elsewhere, or not there."""
    by_id = {span.context.span_id: name for name, span in spans.items()}
    return {name: by_id.get(span.parent.span_id) if span.parent else None for name, span in spans.items()}


async def hello(viewer: ClientConnection) -> None:
    await viewer.send(b"hello")
    assert await viewer.recv() == b"hello"


async def test_the_way_of_a_console(rig: Rig) -> None:
    url = await rig.link()
    made = await rig.until("create")
    assert parents(made) == {
        "create": None,
        "provider.check": "create",
        "issue": "create",
        "store.put": "issue",
    }
    assert {f"{span.context.trace_id:032x}" for span in made.values()} == {CALLERS_TRACE}
    rig.memory.clear()
    async with rig.console(url) as viewer:
        await hello(viewer)
    spans = await rig.until("session")
    assert parents(spans) == {
        "open": None,
        "redeem": "open",
        "store.take": "redeem",
        "provider.open": "open",
        "connect": "open",
        "handshake": "open",
        "session": "open",
    }
    (trace,) = {span.context.trace_id for span in spans.values()}
    assert f"{trace:032x}" != CALLERS_TRACE  # a browser's word opens no way into others' traces
    told = spans["session"].attributes or {}
    assert told["consolekit.grant_id"] == (made["issue"].attributes or {})["consolekit.grant_id"]
    assert told["consolekit.subject"] == "alice"
    assert (told["consolekit.reason"], told["consolekit.bytes_in"]) == ("viewer_closed", 5)
    token = url.rpartition("token=")[2]
    assert not any(token in span.to_json() for span in (*made.values(), *spans.values()))


async def test_a_server_that_cannot_be_reached(rig: Rig) -> None:
    url = await rig.link("dead")
    rig.memory.clear()
    with pytest.raises(websockets.exceptions.InvalidStatus):
        async with rig.console(url):
            pass
    spans = await rig.until("open")
    assert "session" not in spans
    for name in ("connect", "open"):
        assert (spans[name].attributes or {})["error.type"] == "connect_failed"


async def test_two_at_a_time_do_not_mix(rig: Rig) -> None:
    urls = [await rig.link() for _ in range(2)]
    rig.memory.clear()
    async with rig.console(urls[0]) as first, rig.console(urls[1]) as second:
        await asyncio.gather(hello(first), hello(second))
    async with asyncio.timeout(20):
        while sum(span.name == "consolekit.session" for span in rig.memory.get_finished_spans()) < 2:
            await asyncio.sleep(0.005)
    by_trace: dict[int, set[str]] = {}
    for span in rig.memory.get_finished_spans():
        by_trace.setdefault(span.context.trace_id, set()).add(span.name)
    assert len(by_trace) == 2
    assert len(set(map(frozenset, by_trace.values()))) == 1
