"""testing.background: peers for tests that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager

import pytest

from consolekit.testing.background import Background
from consolekit.testing.rfbserver import RfbServer


def test_a_peer_answers_whoever_blocks() -> None:
    with Background() as background:
        server = background.enter(RfbServer())
        with socket.create_connection(("127.0.0.1", server.port)) as link:
            assert link.recv(12) == b"RFB 003.008\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    assert "peers" not in [thread.name for thread in threading.enumerate()]


def test_peers_leave_last_in_first_out_in_the_task_that_entered() -> None:
    seen: list[tuple[str, object]] = []

    @asynccontextmanager
    async def peer(name: str):
        task = asyncio.current_task()
        async with asyncio.timeout(60):
            yield name
        assert asyncio.current_task() is task
        seen.append(("left", name))

    with Background() as background:
        assert [background.enter(peer(name)) for name in "ab"] == ["a", "b"]
    assert seen == [("left", "b"), ("left", "a")]


def test_a_peer_that_cannot_begin_says_so() -> None:
    with Background() as background, pytest.raises(OSError, match="bind"):
        background.enter(RfbServer(host="192.0.2.1"))


def test_a_peer_that_does_not_end_well_says_so() -> None:
    @asynccontextmanager
    async def peer():
        yield
        raise LookupError("at its end")

    with pytest.raises(LookupError, match="at its end"), Background() as background:
        background.enter(peer())
