"""asgi.bridge: messages and frames, over a socket pair; relay and server are played by hand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import attrs
import pytest
from asgiserver import Connection, Message

from consolekit.asgi.bridge import Bridge, RelaysFrames, socket_pair
from consolekit.proxy import frames
from consolekit.proxy.frames import Close, Decoder

BIG = bytes(range(256)) * 8192


@attrs.define
class Relay:
    """The relay's end of the pair."""

    sock: socket.socket
    connection: Connection
    running: asyncio.Task[None]
    decoder: Decoder = attrs.field(factory=Decoder)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self, size: int) -> bytes:
        """Payload of the viewer's frames; less at their end."""
        found = b""
        while len(found) < size and self.decoder.outcome is None:
            raw = bytearray(await asyncio.get_running_loop().sock_recv(self.sock, 65536))
            if not raw:
                break
            found += bytes(raw[: self.decoder.feed(memoryview(raw), len(raw))])
        return found

    def viewer(self, **message: object) -> None:
        self.connection.incoming.put_nowait({"type": "websocket.receive", **message})

    def leaves(self, code: int = 1001) -> None:
        self.connection.incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    async def said(self) -> Message:
        return await asyncio.wait_for(self.connection.sent.get(), 10)


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    theirs, ours = socket_pair()
    connection, loop = Connection({}), asyncio.get_running_loop()
    first: asyncio.Task[Message] = loop.create_task(connection.incoming.get())
    bridge = Bridge(ours, connection.incoming.get, connection.send, first=first, patience=10)
    running = loop.create_task(bridge.run())
    yield Relay(sock=theirs, connection=connection, running=running)
    theirs.close()
    await asyncio.wait_for(running, 10)
    assert ours.fileno() == -1


async def test_bytes_go_both_ways_whatever_their_size(relay: Relay) -> None:
    for payload in (b"x", b"y" * 126, b"z" * 70_000, BIG):
        relay.viewer(bytes=payload)
        assert await relay.read(len(payload)) == payload
        sending = asyncio.get_running_loop().create_task(relay.send(frames.binary(payload)))
        got = b""
        while len(got) < len(payload):
            message = await relay.said()
            assert message["type"] == "websocket.send"
            assert len(message["bytes"]) <= 64 * 1024
            got += message["bytes"]
        await sending
        assert got == payload


async def test_the_relay_s_close_code_and_reason_reach_the_viewer(relay: Relay) -> None:
    await relay.send(frames.binary(b"last") + frames.close(4000, "revoked"))
    assert (await relay.said())["bytes"] == b"last"
    assert await relay.said() == {"type": "websocket.close", "code": 4000, "reason": "revoked"}


@pytest.mark.parametrize(("sent", "code"), [(frames.close(1005), 1000), (b"", 1011), (b"\xff\xff", 1011)])
async def test_an_end_without_a_code_has_one_for_the_viewer(relay: Relay, sent: bytes, code: int) -> None:
    await relay.send(sent)
    relay.sock.shutdown(socket.SHUT_WR)
    assert (await relay.said())["code"] == code


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1012, 3000])
async def test_the_viewer_s_close_code_reaches_the_relay(relay: Relay, code: int) -> None:
    relay.viewer(bytes=b"last")
    relay.leaves(code)
    assert await relay.read(100) == b"last"
    assert relay.decoder.outcome == Close(code)
    await relay.send(frames.binary(b"for nobody") + frames.close(1000))
    await relay.running
    assert relay.connection.sent.empty()


@pytest.mark.parametrize("code", [1006, 0, 77])
async def test_a_viewer_that_is_lost_is_the_end_of_the_stream(relay: Relay, code: int) -> None:
    relay.leaves(code)
    assert await relay.read(100) == b""
    assert relay.decoder.outcome is None


async def test_pings_are_answered_in_a_client_s_form(relay: Relay) -> None:
    await relay.send(frames.binary(b"first") + frames.ping(b"are you there"))
    assert (await relay.said())["bytes"] == b"first"
    raw = await asyncio.get_running_loop().sock_recv(relay.sock, 100)
    assert raw[:2] == bytes((0x8A, 0x80 | 13))
    assert frames.unmask(raw[2:6], raw[6:]) == b"are you there"


async def test_text_is_what_the_relay_refuses(relay: Relay) -> None:
    relay.viewer(text="hello")
    await relay.read(1)
    assert isinstance(relay.decoder.outcome, frames.FrameError)
    assert relay.decoder.outcome.close_code == 1003


async def test_who_is_not_read_is_not_listened_to(relay: Relay) -> None:
    """With the relay reading nothing, messages stay with the server; and the other direction goes on."""
    for _ in range(64):
        relay.viewer(bytes=b"x" * 65536)
    await relay.send(frames.binary(b"still") + frames.ping())
    assert (await relay.said())["bytes"] == b"still"
    waiting = relay.connection.incoming.qsize()
    assert waiting > 48
    assert len(await relay.read(64 * 65536)) > 0


async def test_a_server_that_takes_nothing_stops_the_relay() -> None:
    theirs, ours = socket_pair()
    taken, loop = asyncio.Event(), asyncio.get_running_loop()

    async def send(message: Message) -> None:
        await taken.wait()

    never: asyncio.Queue[Message] = asyncio.Queue()
    first = loop.create_task(never.get())
    running = loop.create_task(Bridge(ours, never.get, send, first=first, patience=10).run())
    sent = 0
    frame = frames.binary(b"x" * 65536)
    try:
        while sent < 16 * len(frame):
            sent += theirs.send(frame)
            await asyncio.sleep(0)
    except BlockingIOError:
        pass
    assert sent < 16 * len(frame)
    taken.set()
    theirs.close()
    await running


@pytest.mark.parametrize("failure", [OSError("gone"), RuntimeError("after close")])
async def test_a_viewer_that_left_is_found_out_in_sending(failure: Exception) -> None:
    theirs, ours = socket_pair()
    connection, loop = Connection({}, failure=failure), asyncio.get_running_loop()
    if isinstance(failure, RuntimeError):
        connection.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})
    first = loop.create_task(connection.incoming.get())
    running = loop.create_task(
        Bridge(ours, connection.incoming.get, connection.send, first=first, patience=10).run()
    )
    theirs.sendall(frames.binary(b"x") + frames.close(1000))
    await asyncio.wait_for(running, 10)
    theirs.close()


async def test_a_server_that_does_not_take_one_message_is_given_up() -> None:
    theirs, ours = socket_pair()
    loop, never = asyncio.get_running_loop(), asyncio.Queue[Message]()

    async def send(message: Message) -> None:
        await asyncio.Event().wait()

    first = loop.create_task(never.get())
    running = loop.create_task(Bridge(ours, never.get, send, first=first, patience=0.01).run())
    theirs.sendall(frames.binary(b"x"))
    await asyncio.wait_for(running, 10)
    assert theirs.recv(100) == b""
    theirs.close()


async def test_a_server_s_own_mistake_is_not_hidden() -> None:
    theirs, ours = socket_pair()
    connection, loop = Connection({}, failure=RuntimeError("a mistake")), asyncio.get_running_loop()
    first = loop.create_task(connection.incoming.get())
    running = loop.create_task(
        Bridge(ours, connection.incoming.get, connection.send, first=first, patience=10).run()
    )
    theirs.sendall(frames.binary(b"x"))
    with pytest.raises(RuntimeError, match="a mistake"):
        await asyncio.wait_for(running, 10)
    assert ours.fileno() == -1
    theirs.close()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_frames_in_any_pieces(step: int) -> None:
    data = (
        frames.binary(b"a" * 5) + frames.ping(b"p") + frames.binary(b"b" * 300) + frames.close(4001, "over")
    )
    decoder, got = RelaysFrames(), b""
    for at in range(0, len(data), step):
        got += decoder.feed(memoryview(data)[at : at + step])
    assert got == b"a" * 5 + b"b" * 300
    assert decoder.ping == b"p"
    assert decoder.outcome == Close(4001, "over")
