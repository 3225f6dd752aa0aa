"""The listener: how much it takes on from those who have shown nothing, and how it stops."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from hostile import Wire, client_hello, until, wire
from tornado.web import Application, RequestHandler

from consolekit.net import linger
from consolekit.net.listener import Listener, ListenerSettings

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = pytest.mark.parametrize(
    ("limit", "why"),
    [({"pending": 3}, "pending"), ({"pending_per_address": 3}, "pending_per_address")],
    ids=["in all", "of one address"],
)


class Hello(RequestHandler):
    async def get(self) -> None:
        self.settings["asked"].set()
        await self.settings["answer"].wait()
        self.write("hello")


@asynccontextmanager
async def listening(
    tls: ssl.SSLContext | None = None, **settings: float
) -> AsyncIterator[tuple[Listener, list[str], dict[str, asyncio.Event]]]:
    events = {"asked": asyncio.Event(), "answer": asyncio.Event()}
    events["answer"].set()
    listener = Listener("127.0.0.1", 0, tls=tls, settings=ListenerSettings(**settings))
    refused: list[str] = []
    listener.on_refused = refused.append
    listener.bind()
    listener.start(Application([("/", Hello)], log_function=lambda handler: None, **events))
    try:
        yield listener, refused, events
    finally:
        await listener.aclose()
        assert listener.pending == 0
        assert not listener._pending._idle


@pytest.fixture(scope="module")
def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


async def hello(listener: Listener) -> bytes:
    async with wire(listener) as connection:
        await connection.send(REQUEST)
        return (await connection.answer()).body


async def keep(stack: AsyncExitStack, listener: Listener) -> Wire:
    """A connection that has been answered and is kept, as browsers do."""
    connection = await stack.enter_async_context(wire(listener))
    await again(connection)
    return connection


async def again(connection: Wire) -> None:
    await connection.send(REQUEST)
    assert (await connection.answer()).body == b"hello"


async def idle(listener: Listener, count: int) -> None:
    """The answer may be here before the server has looked for another request."""
    await until(lambda: sum(stream.idle for stream in listener._streams) == count, "idle connections")


async def refused_one(listener: Listener) -> None:
    async with wire(listener) as one_too_many:
        assert await one_too_many.end() == b""


@LIMITS
async def test_no_more_connections_than_allowed_until_one_goes(limit, why):
    async with listening(**limit) as (listener, refused, _):
        held = [wire(listener) for _ in range(3)]
        connections = [await one.__aenter__() for one in held]
        await until(lambda: listener.pending == 3, "three connections")
        await refused_one(listener)
        assert refused == [why]
        connections[0].close()
        await until(lambda: listener.pending == 2, "room")
        assert await hello(listener) == b"hello"
        for one in held:
            await one.__aexit__(None, None, None)


@LIMITS
async def test_the_one_that_has_been_idle_longest_makes_room(limit, why):
    async with listening(**limit) as (listener, refused, _), AsyncExitStack() as stack:
        first, second, third = [await keep(stack, listener) for _ in range(3)]
        await idle(listener, 3)
        await again(first)  # so it is not the one that has waited longest
        await idle(listener, 3)
        fourth = await keep(stack, listener)
        assert await second.end() == b""
        await idle(listener, 3)
        for one in first, third, fourth:
            await again(one)
        assert (refused, listener.pending) == ([], 3)


@LIMITS
async def test_who_is_asking_or_has_not_been_answered_makes_room_for_nobody(limit, why):
    async with listening(**limit) as (listener, refused, events), AsyncExitStack() as stack:
        silent = await stack.enter_async_context(wire(listener))
        asking = await keep(stack, listener)
        await asking.send(REQUEST[:10])
        events["answer"].clear()
        events["asked"].clear()
        waiting = await stack.enter_async_context(wire(listener))
        await waiting.send(REQUEST)
        await events["asked"].wait()
        await until(lambda: any(stream._read_buffer_size for stream in listener._streams), "half a request")
        for _ in range(3):
            await refused_one(listener)
        assert refused == [why] * 3
        events["answer"].set()
        assert (await waiting.answer()).body == b"hello"
        await asking.send(REQUEST[10:])
        assert (await asking.answer()).body == b"hello"
        await again(silent)


@pytest.mark.parametrize("request_first", [True, False])
async def test_a_request_that_comes_together_with_somebody_else_is_answered(request_first):
    async with listening(pending=1) as (listener, refused, _), AsyncExitStack() as stack:
        connection = await keep(stack, listener)
        await idle(listener, 1)
        with socket.socket() as other:  # both before the server looks
            if request_first:
                connection.socket.send(REQUEST)
            other.connect(("127.0.0.1", listener.port))
            if not request_first:
                connection.socket.send(REQUEST)
            assert (await connection.answer()).body == b"hello"
            await until(lambda: refused == ["pending"], "the refusal")


async def test_one_whose_close_lingers_counts_until_it_is_closed(monkeypatch):
    monkeypatch.setattr(linger, "SECONDS", 60.0)
    async with listening(pending_per_address=2) as (listener, refused, _), AsyncExitStack() as stack:
        lingering = await stack.enter_async_context(wire(listener))
        await lingering.send(b"\0")
        assert (await lingering.answer()).status == 400
        kept = await keep(stack, listener)
        await idle(listener, 1)
        await stack.enter_async_context(wire(listener))
        assert await kept.end() == b""
        await refused_one(listener)
        assert (refused, listener.pending) == (["pending_per_address"], 2)
        lingering.close()
        await until(lambda: listener.pending == 1, "room")
        await keep(stack, listener)


async def test_any_number_of_browsers_behind_one_address_are_served():
    async with listening() as (listener, refused, _), AsyncExitStack() as stack:
        for _ in range(10):
            await asyncio.gather(*(keep(stack, listener) for _ in range(6)))
        assert refused == []
        assert listener.pending == listener.settings.pending_per_address == 32


async def test_silence_is_closed_in_time():
    async with listening(request_seconds=0.2) as (listener, _, _), wire(listener) as silent:
        assert await silent.end() == b""


@pytest.mark.parametrize("said", [b"", client_hello(), REQUEST, bytes(100)], ids=["-", "TLS", "HTTP", "NUL"])
async def test_tls_that_is_none_or_never_done_is_closed_in_time(server_tls, said):
    async with listening(server_tls, request_seconds=0.3) as (listener, refused, _):
        async with wire(listener) as connection:
            await connection.send(said)
            await connection.end()
        await until(lambda: refused == ["tls"], "the refusal")
        assert listener.pending == 0


async def test_a_tls_peer_that_resets_in_its_handshake_leaves_nothing(server_tls):
    async with listening(server_tls) as (listener, refused, _):
        async with wire(listener) as connection:
            await connection.send(client_hello())
            await until(lambda: listener.pending == 1, "the connection")
            connection.reset()
        await until(lambda: refused == ["tls"], "the refusal")


async def test_a_peer_that_resets_before_it_was_accepted_is_no_failure():
    async with listening() as (listener, _, _):
        for _ in range(20):
            sock = socket.create_connection(("127.0.0.1", listener.port))
            Wire(sock).reset()
        assert await hello(listener) == b"hello"
        await until(lambda: not listener.pending, "their end")


async def test_stop_takes_nobody_more_and_lets_the_others_be_answered():
    async with listening() as (listener, _, events):
        events["answer"].clear()
        port = listener.port
        async with wire(listener) as connection:
            await connection.send(REQUEST)
            await events["asked"].wait()
            listener.stop()
            with pytest.raises(ConnectionRefusedError), socket.socket() as late:
                late.connect(("127.0.0.1", port))
            events["answer"].set()
            assert (await connection.answer()).body == b"hello"
        listener.stop()  # again does nothing


async def test_settle_lets_idle_ones_go_and_waits_for_the_others():
    async with listening() as (listener, _, events), AsyncExitStack() as stack:
        kept = await keep(stack, listener)
        events["answer"].clear()
        events["asked"].clear()
        waiting = await stack.enter_async_context(wire(listener))
        await waiting.send(REQUEST)
        await events["asked"].wait()
        listener.stop()
        settling = asyncio.get_running_loop().create_task(listener.settle())
        assert await kept.end() == b""
        assert not settling.done()
        events["answer"].set()
        assert (await waiting.answer()).body == b"hello"
        await settling


async def test_aclose_ends_idle_connections_handshakes_and_lingering_ones(server_tls):
    async with listening(server_tls) as (listener, _, _), wire(listener) as shaking:
        await shaking.send(client_hello()[:20])
        await until(lambda: listener.pending == 1, "the connection")
        await listener.aclose()
        assert await shaking.end() == b""
    async with listening() as (listener, _, _), wire(listener) as idle, wire(listener) as refused:
        await idle.send(REQUEST)
        await idle.answer()
        await refused.send(b"\0")
        await refused.answer()
        assert listener.pending == 2
        await listener.aclose()
        assert listener.pending == 0
        assert await idle.end() == await refused.end() == b""


def test_an_address_that_cannot_be_had_is_an_oserror():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError):
            Listener("127.0.0.1", other.getsockname()[1]).bind()


async def test_what_tornado_refuses_it_does_not_quote(caplog):
    caplog.set_level(logging.DEBUG)
    async with listening() as (listener, _, _), wire(listener) as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: CANARY\0\r\n\r\n")
        await connection.end()
    assert "malformed HTTP message from 127.0.0.1" in caplog.text
    assert "CANARY" not in caplog.text


async def test_case_48_out_of_descriptors_it_neither_spins_nor_fills_the_log_and_then_recovers():
    script = Path(__file__).parents[2] / "starving.py"
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        port = int(await child.stdout.readline())
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        await asyncio.sleep(2.0)  # how much it does in that time is what is asked here
        for one in crowd:
            one.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert b"200 OK" in await reader.readline()
        writer.close()
        child.stdin.close()
        report = json.loads(await child.stdout.readline())
    finally:
        if child.returncode is None:
            child.stdin.close()
        await child.wait()
    assert "descriptors" in report["refused"]
    assert report["lines"] <= report["seconds"] + 1
    assert report["cpu"] < report["seconds"] / 2
