"""ASGI: the viewer's end of a relay, where an ASGI server keeps the viewer's socket.

The relay wants a socket with a websocket's frames on it, and gets one end of a socket pair. This is the other
end: messages of the viewer become frames, frames become messages. So the session with its deadlines, limits,
close codes and audit is as every other, and both directions are held back by the pair's buffers: who is not
read is not listened to. Pings of the relay are answered here, once what lay before them was taken; whether
the viewer itself is still there is for the ASGI server to ask. Knows frames and messages; knows no session.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import Final

from consolekit.asgi.messages import Message, Receive, Send
from consolekit.proxy import frames
from consolekit.proxy.frames import Close, FrameHeaders, read_close

_BUFFER: Final = 128 * 1024  # of the pair, each way; the system doubles it for its own bookkeeping
_READ: Final = 64 * 1024
_ANY_SIZE: Final = (1 << 63) - 1
_NO_CODE: Final = 1006  # RFC 6455, 7.1.5: no close frame came
_KEY: Final = 4
_CLOSE, _PING = 0x8, 0x9


class RelaysFrames(FrameHeaders):
    """Frames of the relay in, payload out; as it comes, for consoles are streams of bytes.

    Attributes:
        ping: Payload of the newest ping that is not answered yet, else None.
    """

    __slots__ = ("ping",)

    def __init__(self) -> None:
        super().__init__(_ANY_SIZE, masked=False)
        self.ping: bytes | None = None

    def feed(self, view: memoryview) -> bytes:
        """Take bytes; the payload in them. Look at ``ping`` and ``outcome`` afterwards."""
        at, size, out = 0, len(view), bytearray()
        while at < size and self.outcome is None:
            if not self._left:
                at = self._read_header(view, at, size)
                continue
            count = min(self._left, size - at)
            part = view[at : at + count]
            at += count
            self._left -= count
            if self._opcode < _CLOSE:
                out += part
                continue
            self._control += bytes(part)
            if not self._left:
                self._end_control()
        return bytes(out)

    def _end_control(self) -> None:
        payload, self._control = self._control, b""
        if self._opcode == _PING:
            self.ping = payload
        elif self._opcode == _CLOSE:
            self._ended(read_close(payload))


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The relay's end and ours, not blocking, with bounded buffers."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return ends


class Bridge:
    """One viewer's websocket and our end of the pair.

    Args:
        sock: Our end; closed when this ends.
        receive: The server's.
        send: The server's.
        first: A ``receive()`` that has begun already.
        patience: Seconds that the server may take for one message; longer than the relay waits for a viewer
            that takes nothing, for it then ends by itself, and nobody is left to be waited for.
    """

    def __init__(
        self,
        sock: socket.socket,
        receive: Receive,
        send: Send,
        *,
        first: asyncio.Task[Message],
        patience: float,
    ) -> None:
        self._sock, self._receive, self._send, self._first = sock, receive, send, first
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._decoder = RelaysFrames()
        self._writing = asyncio.Lock()
        self._asked = asyncio.Event()
        self._gone = False

    async def abandon(self) -> None:
        """Close without a word: the viewer was never accepted."""
        self._first.cancel()
        await asyncio.gather(self._first, return_exceptions=True)
        self._sock.close()

    async def run(self) -> None:
        """Carry messages until the relay ends."""
        others = [self._loop.create_task(self._carry_in()), self._loop.create_task(self._answer_pings())]
        try:
            await self._carry_out()
        finally:
            for task in (*others, self._first):
                task.cancel()
            await asyncio.gather(*others, self._first, return_exceptions=True)
            self._sock.close()  # last: until then the loop watches its descriptor

    async def _carry_in(self) -> None:
        """The viewer's messages, as frames; the next is asked for when the last has gone."""
        message = await self._first
        try:
            while message["type"] == "websocket.receive":
                await self._write(_frame_of(message))
                message = await self._receive()
            await self._tell_that_it_left(message.get("code") or _NO_CODE)
        except OSError:  # the relay has ended: the other direction says why
            pass

    async def _tell_that_it_left(self, code: int) -> None:
        self._gone = True
        if code == frames.NO_STATUS or frames.may_be_sent(code):
            await self._write(frames.masked(frames.close(code), secrets.token_bytes(_KEY)))
        else:
            self._sock.shutdown(socket.SHUT_WR)

    async def _carry_out(self) -> None:
        """The relay's frames, as messages; the next are read when the server has taken the last."""
        buffer = memoryview(bytearray(_READ))
        while self._decoder.outcome is None:
            try:
                size = await self._loop.sock_recv_into(self._sock, buffer)
            except OSError:
                size = 0
            if not size:
                break
            payload = self._decoder.feed(buffer[:size])
            if payload and not await self._tell({"type": "websocket.send", "bytes": payload}):
                return  # the relay finds its viewer gone
            if self._decoder.ping is not None:
                self._asked.set()
        await self._tell(_closing(self._decoder.outcome))

    async def _tell(self, message: Message) -> bool:
        """Send a message, unless the viewer has said that it left.

        Returns:
            False if it turns out here that the viewer is gone (ASGI, "Disconnected Client") or takes nothing.
        """
        if self._gone:
            return True
        try:
            async with asyncio.timeout(self._patience):
                await self._send(message)
        except OSError:  # TimeoutError too
            return False
        except RuntimeError:  # what servers call a message to who has left, as we would hear next
            if not self._has_left():
                raise
            return False
        return True

    def _has_left(self) -> bool:
        if not self._first.done():
            return False
        return self._gone or self._first.result()["type"] == "websocket.disconnect"

    async def _answer_pings(self) -> None:
        """On its own: waiting for the relay to read must not hold up what it sends."""
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                payload, self._decoder.ping = self._decoder.ping, None
                if payload is not None:
                    await self._write(frames.masked(frames.pong(payload), secrets.token_bytes(_KEY)))
        except OSError:
            pass

    async def _write(self, frame: bytes) -> None:
        async with self._writing:  # frames of two tasks do not mix
            await self._loop.sock_sendall(self._sock, frame)


def _frame_of(message: Message) -> bytes:
    """A message in a client's form: behind the pair may be another websocket, which gets it as it is."""
    payload, key = message.get("bytes"), secrets.token_bytes(_KEY)
    if payload is not None:
        return frames.masked_binary(bytes(payload), key)
    header = frames.binary_header(0)
    return bytes((header[0] - 1, 0x80)) + key  # an empty text message: the relay says what it thinks of text


def _closing(outcome: object) -> Message:
    """What the viewer is told at the end; where the relay has no word for it, 1011."""
    if isinstance(outcome, Close):
        code = frames.NORMAL if outcome.code == frames.NO_STATUS else outcome.code
        return {"type": "websocket.close", "code": code, "reason": outcome.reason}
    return {"type": "websocket.close", "code": frames.INTERNAL, "reason": ""}
