"""Test support: one HTTP exchange with a tornado application, byte for byte, over a socket pair.

Importable as ``exchange``. No port and no network: what is sent is exactly what the test wrote.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application

HOST = "localhost:6081"


@attrs.frozen
class Reply:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code; its document is checked on the way."""
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json()
        assert document["status"] == self.status
        assert document["type"] == f"urn:consolekit:problem:{document['code']}"
        return str(document["code"])


def request(method: str, target: str, body: bytes | None = None, **headers: str | None) -> bytes:
    """The bytes of a request; ``Header_Name=None`` leaves a default header out."""
    given: dict[str, str | None] = {"Host": HOST, "Connection": "close"}
    if body is not None:
        given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1") + (body or b"")


async def exchange(application: Application, sent: bytes) -> Reply:
    """Send bytes, read one whole response, and look no further: the server may still be reading."""
    async with _connected(application) as (reader, writer):
        writer.write(sent)
        received = await reader.readuntil(b"\r\n\r\n")
        head = sent.startswith(b"HEAD")
        length = 0 if head else int(replies_in(received, head=True)[0].headers.get("content-length", "0"))
        (reply,) = replies_in(received + await reader.readexactly(length), head=head)
        return reply


async def exchanges(application: Application, sent: bytes) -> list[Reply]:
    """Send bytes; every response until the server closes."""
    async with _connected(application) as (reader, writer):
        writer.write(sent)
        return replies_in(await reader.read())


@asynccontextmanager
async def _connected(
    application: Application,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    ours, theirs = socket.socketpair()
    server = HTTPServer(application)
    server.handle_stream(IOStream(theirs), ("192.0.2.9", 0))
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield reader, writer
    finally:
        writer.close()
        await server.close_all_connections()


def replies_in(received: bytes, *, head: bool = False) -> list[Reply]:
    """The responses in what a server sent; every one must say its length or have no body."""
    found = []
    while received:
        header, blank, received = received.partition(b"\r\n\r\n")
        assert blank, header
        first, *lines = header.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), f"a header is there twice: {lines}"
        length = 0 if head else int(headers.get("content-length", "0"))
        found.append(Reply(int(first.split()[1]), headers, received[:length]))
        assert len(received) >= length
        received = received[length:]
    return found
