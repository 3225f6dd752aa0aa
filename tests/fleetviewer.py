"""Test support: a browser's part of a console that echoes: numbered words go out, each must come back.

Importable as ``fleetviewer``.
"""

from __future__ import annotations

import asyncio

import attrs
import websockets.asyncio.client

PATIENCE = 60.0


@attrs.frozen
class Link:
    """What the API gives: the grant's id and its token."""

    grant: str
    token: str


@attrs.define(eq=False)
class Viewer:
    """A browser with an open console: it sends numbered words and gets each of them back.

    Attributes:
        beats: How many came back.
        wrong: What came that was not what it had to be; empty: nothing.
        ended: When the console ended, in the loop's time; None while it lives.
    """

    link: Link
    server: str
    subject: str
    key: str
    socket: websockets.asyncio.client.ClientConnection
    beats: int = 0
    wrong: bytes = b""
    ended: float | None = None
    _tasks: list[asyncio.Task[None]] = attrs.field(factory=list)
    _moved: asyncio.Event = attrs.field(factory=asyncio.Event)
    _over: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def code(self) -> int | None:
        """The close code that it got."""
        return self.socket.close_code

    @property
    def whole(self) -> bool:
        """Whether it lives, and every byte was right."""
        return self.ended is None and not self.wrong

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._send()), loop.create_task(self._read())]

    async def _send(self) -> None:
        number = 0
        try:
            while True:
                await self.socket.send(_word(number))
                number += 1
                await asyncio.sleep(0.2)
        except websockets.ConnectionClosed:
            return

    async def _read(self) -> None:
        kept = bytearray()
        try:
            async for piece in self.socket:
                kept += piece if isinstance(piece, bytes) else piece.encode()
                while len(kept) >= 16:
                    word, kept = bytes(kept[:16]), kept[16:]
                    if word != _word(self.beats):
                        self.wrong = self.wrong or word
                    self.beats += 1
                    self._moved.set()
        except websockets.ConnectionClosed:
            pass
        self.ended = asyncio.get_running_loop().time()
        self._over.set()

    async def carries(self, beats: int = 2) -> None:
        """Wait until so many more words have come back."""
        goal = self.beats + beats
        async with asyncio.timeout(PATIENCE):
            while self.beats < goal:
                assert self.ended is None, f"the console of {self.server} ended: {self.code}"
                self._moved.clear()
                await self._moved.wait()

    async def over(self) -> float:
        """Wait until the console has ended; when that was, in the loop's time."""
        async with asyncio.timeout(PATIENCE):
            await self._over.wait()
        assert self.ended is not None
        return self.ended

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.socket.close()


def _word(number: int) -> bytes:
    return b"%015d\n" % number
