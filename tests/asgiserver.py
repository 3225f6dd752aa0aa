"""Test support: an ASGI application under uvicorn in this loop, and connections without a server.

Importable as ``asgiserver``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from uvicorn import Config, Server

Message = dict[str, Any]


@asynccontextmanager
async def serving(application: Any, sock: socket.socket, **settings: Any) -> AsyncIterator[Server]:
    """Run uvicorn on a bound socket, without its own signal handlers."""
    given = {"lifespan": "off", "ws": "websockets-sansio", "log_config": None, **settings}
    server = Server(Config(application, timeout_graceful_shutdown=5, **given))
    started = asyncio.get_running_loop().create_task(server._serve([sock]))
    try:
        while not server.started:
            assert not started.done(), started.exception()
            await asyncio.sleep(0.005)
        yield server
    finally:
        server.should_exit = True
        await started


@attrs.define
class Connection:
    """One connection as an application sees it, with the server's part played by hand."""

    scope: Message
    incoming: asyncio.Queue[Message] = attrs.field(factory=asyncio.Queue)
    sent: asyncio.Queue[Message] = attrs.field(factory=asyncio.Queue)
    failure: Exception | None = None

    async def send(self, message: Message) -> None:
        if self.failure is not None:
            raise self.failure
        await self.sent.put(message)

    async def answer(self, application: Any) -> tuple[int, dict[str, str], bytes]:
        """Of an HTTP request: status, headers, body."""
        await application(self.scope, self.incoming.get, self.send)
        start, body = self.sent.get_nowait(), self.sent.get_nowait()
        assert self.sent.empty()
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, body["body"]


def http(path: str, method: str = "GET", host: str = "consoles.example.org", **headers: str) -> Connection:
    """A request; headers with "_" for "-"."""
    return Connection({"type": "http", "method": method, **_scope(path, host, headers)})


def websocket(path: str, *offers: str, host: str = "consoles.example.org", **headers: str) -> Connection:
    """A websocket's request; it says ``websocket.connect`` by itself."""
    connection = Connection(
        {
            "type": "websocket",
            "subprotocols": list(offers),
            "extensions": {"websocket.http.response": {}},
            **_scope(path, host, headers),
        }
    )
    connection.incoming.put_nowait({"type": "websocket.connect"})
    return connection


def _scope(path: str, host: str, headers: dict[str, str]) -> Message:
    lines = {"host": host, **{name.replace("_", "-").lower(): value for name, value in headers.items()}}
    return {
        "path": path.partition("?")[0],
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in lines.items() if value],
        "client": ("192.0.2.7", 4000),
    }
