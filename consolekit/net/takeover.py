"""Net: takes a connection over from tornado's HTTP server, ours or another's. Knows no HTTP.

Of our own listeners the stream knows how to let go (``ChannelStream.release``). Another server's stream does
not: its socket is exchanged for a second descriptor of the same connection, which it closes in its place.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import cast

from tornado.iostream import IOStream, StreamClosedError

from consolekit.net.channels import Channel, SocketChannel
from consolekit.net.stream import ChannelStream
from consolekit.net.wrapped import WrappedTlsChannel


def take_over(stream: IOStream) -> tuple[Channel, bytes]:
    """The connection of a stream that nobody reads any more, and what was read of it and not consumed.

    Nothing may be waiting to be written. The stream is closed afterwards; the connection is not.

    Args:
        stream: Plain or TLS; as ``RequestHandler.detach`` gives it.

    Raises:
        StreamClosedError: the peer is gone already.
    """
    if isinstance(stream, ChannelStream):
        return stream.release()
    if stream.closed():
        raise StreamClosedError
    received = _buffered(stream)
    if stream.closed():  # found in reading
        raise StreamClosedError
    sock = stream.socket
    spare = socket.socket(fileno=os.dup(sock.fileno()))
    stream.io_loop.remove_handler(sock)
    stream.socket = spare
    stream.close()
    return _channel(sock), received


def _buffered(stream: IOStream) -> bytes:
    """All that lies in the stream's buffer: one read gets it, and only an empty buffer makes it read more."""
    piece = cast("asyncio.Future[bytes]", stream.read_bytes(stream.max_buffer_size, partial=True))
    if piece.done():
        return piece.result() if piece.exception() is None else b""
    piece.add_done_callback(lambda future: future.exception())  # closing ends this read: expected
    return b""


def _channel(sock: socket.socket) -> Channel:
    if isinstance(sock, ssl.SSLSocket):
        return WrappedTlsChannel(sock)
    return SocketChannel(sock)
