"""The slow goodbye over real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hostile import Wire, until

from consolekit.net import linger
from consolekit.net.channels import SocketChannel, send_all
from consolekit.net.linger import Linger


async def pair() -> tuple[SocketChannel, Wire]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    theirs.setblocking(False)
    return SocketChannel(ours), Wire(theirs)


async def test_last_words_are_read_although_the_peer_had_more_to_say():
    channel, peer = await pair()
    closed: list[str] = []
    await peer.send(bytes(100_000))
    await send_all(channel, b"last words")
    Linger(channel, lambda: closed.append("closed"))
    await peer.send(bytes(100_000))
    assert await peer.end() == b"last words"
    assert not closed
    peer.close()
    await until(lambda: closed, "the close")
    assert closed == ["closed"]
    assert channel.fileno() == -1


async def test_it_ends_by_itself(monkeypatch):
    monkeypatch.setattr(linger, "SECONDS", 0.05)
    channel, peer = await pair()
    closed = asyncio.Event()
    Linger(channel, closed.set)
    await closed.wait()
    assert channel.fileno() == -1
    peer.close()


@pytest.mark.parametrize("times", [1, 2])
async def test_it_can_be_cut_short(times):
    channel, peer = await pair()
    closed: list[str] = []
    waiting = Linger(channel, lambda: closed.append("closed"))
    for _ in range(times):
        waiting.close()
    assert closed == ["closed"]
    peer.close()


async def test_a_reset_is_an_end():
    channel, peer = await pair()
    closed = asyncio.Event()
    Linger(channel, closed.set)
    peer.reset()
    await closed.wait()


async def test_who_sends_on_and_on_is_not_listened_to(monkeypatch):
    monkeypatch.setattr(linger, "ENOUGH", 200_000)
    monkeypatch.setattr(linger, "SECONDS", 1000.0)
    channel, peer = await pair()
    closed = asyncio.Event()
    Linger(channel, closed.set)
    for _ in range(1000):
        await peer.send(bytes(65536))
        if closed.is_set():
            break
    await closed.wait()
    peer.close()
