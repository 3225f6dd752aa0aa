"""Testing: a small RFB 3.8 server of our own (RFC 6143), for ``consolekit demo`` and for tests.

Knows the protocol and asyncio streams; what is on the screen is ``rfbscene``'s. It shares no code
with the provider's handshake but the DES of VNC passwords, so that the two can test each other.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from consolekit.core.types import Secret
from consolekit.providers.vnc.vncauth import CHALLENGE_SIZE, vnc_response
from consolekit.testing.rfbcanvas import PixelFormat, Rect, Region, encode
from consolekit.testing.rfbscene import FRAMES_PER_SECOND, HEIGHT, PALETTE, WIDTH, Scene

_NONE, _VNC_AUTH = 1, 2
_HANDSHAKE_SECONDS = 10.0
_LONGEST_CUT_TEXT = 64 * 1024
_GOODBYES = (asyncio.IncompleteReadError, ConnectionError, TimeoutError)


class _ViewerRefused(Exception):
    """The viewer broke the protocol or does not know the password; it is disconnected."""


class RfbServer:
    """A demo console on a TCP port or a unix socket, for any number of viewers.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        path: Listen on this unix socket instead.
        password: Offer VNC password authentication only; without one, offer None only.
        name: The desktop's name, and the title on its screen.

    Usage::

        async with RfbServer() as server:
            print(server.address)
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        path: Path | None = None,
        password: Secret | None = None,
        name: str = "consolekit demo",
    ) -> None:
        self._host, self._port, self._path = host, port, path
        self._password, self._name = password, name
        self.scene: Scene = Scene(name)
        self._listener: asyncio.Server | None = None
        self._viewers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._ticker: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where it listens: ``host:port``, ``[v6]:port`` or ``unix:/path``."""
        if self._path is not None:
            return f"unix:{self._path}"
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._port

    @property
    def viewers(self) -> int:
        """How many viewers are connected."""
        return len(self._viewers)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        if self._path is not None:
            self._listener = await asyncio.start_unix_server(self._accept, self._path)
            return
        self._listener = await asyncio.start_server(self._accept, self._host, self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening, drop every viewer."""
        if self._listener is None:
            return
        self._listener.close()
        for writer in self._viewers.values():
            writer.transport.abort()  # a viewer that reads nothing must not hold us up
        tasks = [*self._viewers, *([self._ticker] if self._ticker else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listener.wait_closed()
        self._listener = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a plain callback: asyncio would keep a coroutine's task out of our reach at aclose
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._serve(reader, writer))
        self._viewers[task] = writer
        task.add_done_callback(self._viewers.pop)
        if self._ticker is None or self._ticker.done():
            self._ticker = loop.create_task(self._tick())

    async def _tick(self) -> None:
        while self._viewers:
            self.scene.tick()
            await asyncio.sleep(1 / FRAMES_PER_SECOND)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        viewer = _Viewer(self.scene, reader, writer)
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                await _greet(reader, writer, self._password)
                await _initialise(reader, writer, self._name)
            await viewer.run()
        except* (*_GOODBYES, _ViewerRefused):
            pass  # how viewers end
        finally:
            writer.close()


class _Viewer:
    """One viewer after its handshake: reads its messages, sends it what has changed."""

    def __init__(self, scene: Scene, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._scene, self._reader, self._writer = scene, reader, writer
        self._tables = PixelFormat().tables(PALETTE)
        self._dirty = Region()
        self._wanted = False
        self._wake = asyncio.Event()
        self._buttons = 0

    async def run(self) -> None:
        """Serve until the viewer goes."""
        self._scene.watch(self._changed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read_messages())
                group.create_task(self._send_updates())
        finally:
            self._scene.unwatch(self._changed)

    def _changed(self, rect: Rect) -> None:
        self._dirty.add(rect)
        self._wake.set()

    async def _send_updates(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._wanted and self._dirty:
                self._wanted = False
                self._writer.write(self._update(self._dirty.take()))
                await self._writer.drain()

    def _update(self, rects: list[Rect]) -> bytes:
        """Make a FramebufferUpdate in Raw encoding (RFC 6143, 7.6.1 and 7.7.1)."""
        parts = [struct.pack(">BxH", 0, len(rects))]
        for rect in rects:
            parts.append(struct.pack(">4Hi", rect.x, rect.y, rect.width, rect.height, 0))
            parts.append(encode(self._scene.pixels(rect), self._tables))
        return b"".join(parts)

    async def _read_messages(self) -> None:
        """Read client messages (RFC 6143, 7.5) for ever."""
        handlers = {
            0: self._set_pixel_format,
            2: self._set_encodings,
            3: self._update_request,
            4: self._key_event,
            5: self._pointer_event,
            6: self._cut_text,
        }
        while True:
            (kind,) = await self._reader.readexactly(1)
            if kind not in handlers:
                raise _ViewerRefused
            await handlers[kind]()

    async def _set_pixel_format(self) -> None:
        data = await self._reader.readexactly(19)
        try:
            self._tables = PixelFormat.unpack(data[3:]).tables(PALETTE)
        except ValueError:
            raise _ViewerRefused from None

    async def _set_encodings(self) -> None:
        # Raw is all there is, and a viewer need not name it
        (count,) = struct.unpack(">xH", await self._reader.readexactly(3))
        await self._reader.readexactly(4 * count)

    async def _update_request(self) -> None:
        incremental, *rect = struct.unpack(">B4H", await self._reader.readexactly(9))
        if not incremental:
            self._dirty.add(Rect(*rect).clip(Rect(0, 0, WIDTH, HEIGHT)))
        self._wanted = True
        self._wake.set()

    async def _key_event(self) -> None:
        down, keysym = struct.unpack(">BxxI", await self._reader.readexactly(7))
        self._scene.key(keysym, down=bool(down))

    async def _pointer_event(self) -> None:
        buttons, x, y = struct.unpack(">BHH", await self._reader.readexactly(5))
        pressed = bool(buttons & ~self._buttons & 1)
        self._buttons = buttons
        self._scene.pointer(x, y, pressed=pressed)

    async def _cut_text(self) -> None:
        """Take ClientCutText and give the same text back as ServerCutText."""
        (length,) = struct.unpack(">xxxI", await self._reader.readexactly(7))
        if length > _LONGEST_CUT_TEXT:
            raise _ViewerRefused
        text = await self._reader.readexactly(length)
        self._scene.clipboard(text.decode("latin-1"))
        self._writer.write(struct.pack(">BxxxI", 3, length) + text)
        await self._writer.drain()


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: Secret | None) -> None:
    """Agree on a version and check the password (RFC 6143, 7.1 and 7.2; appendix A for 3.3 and 3.7)."""
    writer.write(b"RFB 003.008\n")
    version = await reader.readexactly(12)
    if not version.startswith(b"RFB 003.00"):
        raise _ViewerRefused
    minor = {b"7\n": 7, b"8\n": 8}.get(version[10:], 3)
    offered = _NONE if password is None else _VNC_AUTH
    if minor == 3:
        writer.write(struct.pack(">I", offered))
    else:
        writer.write(bytes([1, offered]))
        (chosen,) = await reader.readexactly(1)
        if chosen != offered:
            raise _ViewerRefused
    if password is not None:
        await _check_password(reader, writer, password, minor)
    if password is not None or minor == 8:
        writer.write(struct.pack(">I", 0))


async def _check_password(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: Secret, minor: int
) -> None:
    challenge = secrets.token_bytes(CHALLENGE_SIZE)
    writer.write(challenge)
    answer = await reader.readexactly(CHALLENGE_SIZE)
    if hmac.compare_digest(answer, vnc_response(challenge, password.reveal())):
        return
    reason = b"Authentication failed"
    writer.write(struct.pack(">I", 1))
    if minor == 8:
        writer.write(struct.pack(">I", len(reason)) + reason)
    await writer.drain()
    raise _ViewerRefused


async def _initialise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
    """Swallow ClientInit (every viewer is shared), send ServerInit (RFC 6143, 7.3)."""
    await reader.readexactly(1)
    title = name.encode("utf-8")
    writer.write(struct.pack(">HH", WIDTH, HEIGHT) + PixelFormat().pack())
    writer.write(struct.pack(">I", len(title)) + title)
    await writer.drain()
