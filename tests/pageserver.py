"""Test support: a stand-in for the gateway that serves the viewer page as the gateway must.

It runs tornado in a thread of its own, so that tests drive the browser with plain calls. What is
behind the websocket is either ``ScriptedScreen`` (a viewer's messages are recorded, and every
ending can be played) or a real RFB server on TCP. It decides nothing and checks no token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketHandler

from consolekit import web

WIDTH, HEIGHT = 320, 200
HEADERS = {
    "Content-Security-Policy": web.CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SIZES = {0: 20, 3: 10, 4: 8, 5: 6}  # RFC 6143 section 7.5: messages of a fixed size


class ScriptedScreen:
    """The server side of RFB 3.8, security None (RFC 6143), for one websocket."""

    def __init__(self, send: Callable[[bytes], None], name: str, heard: queue.Queue[Any]) -> None:
        self.send, self.name, self.heard = send, name, heard
        self.stage, self.buffer = "version", b""
        send(b"RFB 003.008\n")

    def feed(self, data: bytes) -> None:
        self.buffer += data
        while self._step():
            pass

    def _take(self, size: int) -> bytes:
        piece, self.buffer = self.buffer[:size], self.buffer[size:]
        return piece

    def _step(self) -> bool:
        wanted = {"version": 12, "security": 1, "init": 1}.get(self.stage) or self._message_size()
        if not wanted or len(self.buffer) < wanted:
            return False
        piece = self._take(wanted)
        if self.stage == "version":
            self.stage = "security"
            self.send(b"\x01\x01")
        elif self.stage == "security":
            self.stage = "init"
            self.send(b"\0\0\0\0")
        elif self.stage == "init":
            self.stage = "messages"
            self._server_init()
        else:
            self._message(piece)
        return True

    def _server_init(self) -> None:
        pixels = struct.pack("!BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 0, 8, 16)
        name = self.name.encode()
        head = struct.pack("!HH", WIDTH, HEIGHT) + pixels + struct.pack("!I", len(name))
        self.send(head + name)

    def _message_size(self) -> int:
        if not self.buffer:
            return 0
        kind = self.buffer[0]
        if kind == 2:  # SetEncodings
            return 4 + 4 * int.from_bytes(self.buffer[2:4], "big") if len(self.buffer) >= 4 else 4
        if kind == 6:  # ClientCutText
            return 8 + int.from_bytes(self.buffer[4:8], "big") if len(self.buffer) >= 8 else 8
        return _SIZES[kind]

    def _message(self, piece: bytes) -> None:
        if piece[0] == 3 and piece[1] == 0:
            self._paint()
        elif piece[0] == 4:
            down, keysym = struct.unpack("!xBxxI", piece)
            self.heard.put(("key", bool(down), keysym))
        elif piece[0] == 6:
            self.heard.put(("cut", piece[8:].decode("latin-1")))

    def _paint(self) -> None:
        rows = (bytes((60, 40 + y // 2, 30 + y // 2, 0)) * WIDTH for y in range(HEIGHT))
        self.send(struct.pack("!BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0) + b"".join(rows))

    def cut_text(self, text: str) -> None:
        data = text.encode("latin-1")
        self.send(struct.pack("!BxxxI", 3, len(data)) + data)


class PageServer:
    """Serves the page below a path prefix, and plays what tests want of the websocket."""

    def __init__(self, prefix: str = "/some/place", novnc: Path | None = None) -> None:
        self.prefix = prefix
        self.novnc = novnc or web.novnc_dir() or Path("/nonexistent")
        self.desktop_name = "scripted"
        self.target: tuple[str, int] | None = None
        self.refuse_with: int | None = None
        self.outcome: tuple[int, dict[str, Any]] = (200, {})
        self.heard: queue.Queue[Any] = queue.Queue()
        self.offers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.questions: queue.Queue[dict[str, str]] = queue.Queue()
        self.requested: list[str] = []
        self.sockets: list[Any] = []
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self.call(self._stop.set)
        self._thread.join()

    def call(self, action: Callable[..., Any], *args: Any) -> None:
        self._loop.call_soon_threadsafe(action, *args)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, fragment: str = "") -> str:
        return f"{self.origin}{self.prefix}/console/{fragment and '#' + fragment}"

    def close_sockets(self, code: int, reason: str = "") -> None:
        """End every websocket with a close code; 1006 stands for cutting the TCP connection."""

        def end() -> None:
            for socket in [*self.sockets]:
                if code == 1006:
                    socket.ws_connection.stream.close()
                else:
                    socket.close(code, reason)

        self.call(end)

    def cut_text(self, text: str) -> None:
        self.call(lambda: [socket.screen.cut_text(text) for socket in self.sockets])

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        base, here = self.prefix, {"server": self}
        routes: list[Any] = [
            (rf"{base}/console/", _Page, here),
            (rf"{base}/console/outcome", _Outcome, here),
            (rf"{base}/console/assets/(.*)", _Files, {"path": web.assets_dir()}),
            (rf"{base}/console/novnc/(.*)", _Files, {"path": self.novnc}),
            (rf"{base}/ws", _Socket, here),
        ]
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        application = Application(routes, log_function=lambda h: self.requested.append(h.request.uri))
        http = HTTPServer(application)
        http.add_sockets(sockets)
        self._ready.set()
        await self._stop.wait()
        http.stop()
        await http.close_all_connections()


class _Page(RequestHandler):
    def initialize(self, server: PageServer) -> None:
        self.server = server

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def get(self) -> None:
        self.finish(web.page_file().read_bytes())


class _Files(StaticFileHandler):
    def set_extra_headers(self, path: str) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)


class _Outcome(_Page):
    def get(self) -> None:
        names = ("Authorization", "Consolekit-Resume", "Referer")
        self.server.questions.put({name: self.request.headers.get(name, "") for name in names})
        status, body = self.server.outcome
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body))


class _Socket(WebSocketHandler):
    screen: Any = None

    def initialize(self, server: PageServer) -> None:
        self.server = server
        self.target: asyncio.StreamWriter | None = None

    async def get(self) -> None:
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        self.server.offers.put({"protocols": offered, "uri": self.request.uri})
        if self.server.refuse_with is not None:
            self.set_status(self.server.refuse_with)
            self.finish()
            return
        await super().get()

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return "binary"

    async def open(self) -> None:
        self.server.sockets.append(self)
        if self.server.target is None:
            self.screen = ScriptedScreen(self._send, self.server.desktop_name, self.server.heard)
            return
        reader, self.target = await asyncio.open_connection(*self.server.target)
        self.pump = asyncio.get_running_loop().create_task(self._pump(reader))

    def _send(self, data: bytes) -> None:
        self.write_message(data, binary=True)

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(Exception):  # the websocket may be gone at any moment
            while data := await reader.read(65536):
                await self.write_message(data, binary=True)
        self.close(1000)

    def on_message(self, message: str | bytes) -> None:
        assert isinstance(message, bytes)
        if self.target is not None:
            self.target.write(message)
        elif self.screen is not None:
            self.screen.feed(message)

    def on_close(self) -> None:
        if self in self.server.sockets:
            self.server.sockets.remove(self)
        if self.target is not None:
            self.target.close()


@contextlib.contextmanager
def page_server(**options: Any) -> Iterator[PageServer]:
    """A running PageServer, stopped at the end."""
    server = PageServer(**options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
