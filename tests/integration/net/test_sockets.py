"""What the system says of a socket: over loopback, with peers that close, reset and stop reading."""

from __future__ import annotations

import asyncio
import socket

import pytest
from relayrig import fill, reset, tcp_pair, unix_pair, until

from consolekit.net.channels import SocketChannel
from consolekit.net.sockets import readable, send_fin, writable


@pytest.fixture(params=[tcp_pair, unix_pair], ids=["tcp", "unix"])
def ends(request):
    ours, theirs = request.param(4096)
    near = SocketChannel(ours)
    yield near, theirs
    near.close()
    theirs.close()


async def test_nothing_is_wrong_at_first(ends):
    near, _ = ends
    assert not near.hung_up()
    assert near.unacknowledged() == 0
    assert near.silence() == 0.0


async def test_bytes_that_are_not_taken_are_counted(ends):
    near, theirs = ends
    await fill(near, b"x" * 4096)
    assert near.unacknowledged() > 0
    far = SocketChannel(theirs)
    view = memoryview(bytearray(65536))
    while near.unacknowledged():
        await asyncio.sleep(0)
        try:
            far.recv_into(view)
        except BlockingIOError:
            await asyncio.sleep(0.001)


async def test_a_closed_window_is_no_silence(ends):
    """The peer's system answers; its program does not read."""
    near, _ = ends
    await fill(near, b"x" * 4096)
    assert near.silence() < 5.0


async def test_fin_is_seen_before_it_is_read(ends):
    near, theirs = ends
    theirs.send(b"unread")
    send_fin(theirs)
    await until(near.hung_up)


async def test_reset_is_seen():
    ours, theirs = tcp_pair()
    near = SocketChannel(ours)
    reset(theirs)
    await until(near.hung_up)
    near.close()


async def test_fin_to_a_peer_that_is_gone():
    ours, theirs = tcp_pair()
    reset(theirs)
    near = SocketChannel(ours)
    await until(near.hung_up)
    near.shutdown_write()
    near.close()
    near.close()
    assert near.fileno() == -1


async def test_small_messages_go_at_once_and_the_dead_are_noticed():
    ours, theirs = tcp_pair()
    near = SocketChannel(ours)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 30
    near.close()
    theirs.close()


async def test_waiting_can_be_given_up(ends):
    near, theirs = ends
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await readable(near)
    assert not loop.remove_reader(near.fileno())
    await writable(near)
    assert not loop.remove_writer(near.fileno())
    theirs.send(b"x")
    async with asyncio.timeout(10):
        await readable(near)
