"""Net: accepts connections for an HTTP server. Knows no console and no token.

Beyond tornado's own listener: TLS through memory BIOs and the PROXY protocol, with a deadline; a bound on
connections that have shown nothing yet (in all and per address); and no spinning when descriptors run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence

import attrs
from tornado.httpserver import HTTPServer
from tornado.web import Application

from consolekit.core.errors import ConsoleKitError
from consolekit.core.networks import NOWHERE, Networks, canonical
from consolekit.net.channels import Channel, SocketChannel, start_tls
from consolekit.net.pending import Pending
from consolekit.net.proxyprotocol import MOST_BYTES, ProxyHeader, ProxyProtocolError, parse_header
from consolekit.net.sockets import OUT_OF_DESCRIPTORS, readable
from consolekit.net.stream import ChannelStream

_log = logging.getLogger(__name__)
_ACCEPT_AT_ONCE = 64  # then let the sessions have the loop
_RETRY_SECONDS = 0.1
_SETTLE_SECONDS = 0.05
_BACKLOG = 1024


@attrs.frozen(kw_only=True)
class ListenerSettings:
    """What a listener may cost before anybody has shown a token.

    Attributes:
        pending: Connections in all that are still plain HTTP. Before there are more, the one that has been
            idle longest is let go; where none is idle, the new one is turned away.
        pending_per_address: The same for one address.
        request_seconds: Deadline for what comes before HTTP (the PROXY protocol's header, the TLS handshake),
            then for each request's header, then its body; also how long a peer may take nothing of an answer.
        max_header: Bytes of a request's line and headers.
        max_body: Bytes of a request's body.
        trusted: Networks of proxies in front. Such a peer brings many viewers: ``pending_per_address`` is not
            for it.
        proxy_protocol: Whether connections begin with the PROXY protocol's header, whose address then counts.
            A trusted peer must send one; any other peer is turned away, since it could claim any address.
    """

    pending: int = 512
    pending_per_address: int = 32
    request_seconds: float = 10.0
    max_header: int = 32 * 1024
    max_body: int = 64 * 1024
    trusted: Networks = NOWHERE
    proxy_protocol: bool = False


class Listener:
    """One address, one application.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        tls: Server-side context, or None for plain HTTP.
        settings: Limits.
        sockets: Listen on these, which somebody else has bound; then host and port are not used.

    Attributes:
        on_refused: Called with ``pending``, ``pending_per_address``, ``proxy_protocol``, ``tls`` or
            ``descriptors`` when a connection is turned away.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        settings: ListenerSettings | None = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self.settings: ListenerSettings = settings or ListenerSettings()
        self.on_refused: Callable[[str], None] = _ignore
        self._host, self._port, self._tls = host, port, tls
        self._server: HTTPServer | None = None
        self._sockets = list(sockets)
        limits = self.settings
        self._pending = Pending(limits.pending, limits.pending_per_address, limits.trusted)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._streams: set[ChannelStream] = set()
        self._reserve: int | None = None
        self._last_complaint = float("-inf")

    @property
    def port(self) -> int:
        """The port it listens on; 0 for a unix socket that was handed over."""
        if self._sockets[0].family == socket.AF_UNIX:
            return 0
        port: int = self._sockets[0].getsockname()[1]
        return port

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What it listens on."""
        return tuple(self._sockets)

    @property
    def pending(self) -> int:
        """Connections that are still plain HTTP."""
        return self._pending.total

    def bind(self) -> None:
        """Take the address, so that the port is known; nobody is accepted yet. Sockets that were given stay.

        Raises:
            OSError: the address cannot be had (in use, not ours, not allowed).
        """
        if self._sockets:
            return
        port = self._port
        found = socket.getaddrinfo(self._host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in found:
                sock = socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG)
                sock.setblocking(False)
                self._sockets.append(sock)
                port = self.port  # a name's other addresses get the port that the system chose for the first
        except OSError:
            for sock in self._sockets:
                sock.close()
            self._sockets = []
            raise

    def start(self, application: Application) -> None:
        """Accept, and let the application answer; needs the running loop."""
        settings = self.settings
        logging.getLogger("tornado.general").addFilter(_quote_nothing)
        self._server = HTTPServer(
            application,
            body_timeout=settings.request_seconds,
            max_header_size=settings.max_header,
            max_body_size=settings.max_body,
        )
        self._server.conn_params.header_timeout = None  # the stream sees to it
        for sock in self._sockets:
            self._watch(sock)

    def stop(self) -> None:
        """Accept nobody any more; what is connected goes on."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()
        self._sockets = []
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    async def settle(self) -> None:
        """After ``stop``: until all who were accepted have been answered, once more each.

        Nobody else would answer them. Who waits with an answered connection is let go at once, as HTTP allows
        (RFC 9112, 9.5); every other one has its deadlines. ``aclose`` ends this too.
        """
        if self._server is not None:
            self._server.conn_params.no_keep_alive = True
        while self.pending:
            self._pending.let_idle_go()
            await asyncio.sleep(_SETTLE_SECONDS)

    async def aclose(self) -> None:
        """Stop, and close every connection that is still plain HTTP."""
        self.stop()
        for task in list(self._handshakes):
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        if self._server is not None:
            await self._server.close_all_connections()
        for stream in list(self._streams):
            if stream.lingering is not None:
                stream.lingering.close()

    def _watch(self, sock: socket.socket) -> None:
        if sock not in self._sockets:
            return
        self._take_reserve()
        asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in OUT_OF_DESCRIPTORS:
                    raise
                self._shed(listening, exc)
                return
            self._take(sock, canonical(address[0]) if address else "")  # a unix socket's client has none

    def _shed(self, listening: socket.socket, exc: OSError) -> None:
        """Out of descriptors: turn callers away with the reserve, then look away for a moment."""
        loop = asyncio.get_running_loop()
        self._complain(
            logging.ERROR, "cannot accept connections: %s; raise the limit of open files", exc.strerror
        )
        for _ in range(_ACCEPT_AT_ONCE):
            if not self._turn_one_away(listening):
                break
        loop.remove_reader(listening)
        loop.call_later(_RETRY_SECONDS, self._watch, listening)

    def _turn_one_away(self, listening: socket.socket) -> bool:
        """With the reserve's descriptor, taken back before anybody else gets it; False if nobody waits."""
        if self._reserve is None:
            return False
        os.close(self._reserve)
        self._reserve = None
        try:
            listening.accept()[0].close()
        except OSError:  # nobody waits, or a thread was quicker: then the caller stays in the backlog
            return False
        finally:
            self._take_reserve()
        self.on_refused("descriptors")
        return True

    def _take_reserve(self) -> None:
        if self._reserve is None:
            with contextlib.suppress(OSError):  # none to be had: next time
                self._reserve = os.open(os.devnull, os.O_RDONLY)

    def _complain(self, level: int, message: str, *args: object) -> None:
        """Log what one caller can provoke as often as it likes: once a second."""
        now = asyncio.get_running_loop().time()
        if now - self._last_complaint >= 1.0:
            self._last_complaint = now
            _log.log(level, message, *args)

    def _take(self, sock: socket.socket, address: str) -> None:
        refusal = self._refusal_of(address)
        if refusal:
            self.on_refused(refusal)
            sock.close()
            return
        self._pending.add(address)
        sock.setblocking(False)
        if self._tls is None and not self.settings.proxy_protocol:
            self._serve(SocketChannel(sock), sock, address)
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._greet(sock, address))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _refusal_of(self, peer: str) -> str:
        if self.settings.proxy_protocol and peer not in self.settings.trusted:
            self._complain(logging.WARNING, "turned %s away: it is none of the trusted proxies", peer)
            return "proxy_protocol"
        return self._pending.refusal(peer)

    async def _greet(self, sock: socket.socket, address: str) -> None:
        """What comes before HTTP: the PROXY protocol's header, then TLS."""
        awaited = "proxy_protocol"
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                if self.settings.proxy_protocol:
                    address = self._count_as(await self._viewer_behind(sock, address), address)
                awaited = "tls"
                channel = await self._secure(sock)
        except _TurnedAway as exc:
            self.on_refused(exc.why)
            self._drop(sock, address)
        except (ConsoleKitError, OSError):
            self.on_refused(awaited)  # who cannot speak it gets no answer; there is none it could read
            self._drop(sock, address)
        except BaseException:
            self._drop(sock, address)
            raise
        else:
            self._serve(channel, sock, address)

    async def _viewer_behind(self, sock: socket.socket, proxy: str) -> str:
        """Whose connection it is: what the header says, or the proxy itself, as in its health checks."""
        try:
            header = await _receive_header(sock)
        except ProxyProtocolError as exc:
            self._complain(logging.WARNING, "turned the proxy %s away: %s", proxy, exc)
            raise _TurnedAway("proxy_protocol") from exc
        return header.source or proxy

    def _count_as(self, viewer: str, proxy: str) -> str:
        refusal = self._pending.refusal_of_one(viewer)
        if refusal:
            raise _TurnedAway(refusal)
        self._pending.add(viewer)
        self._pending.forget(proxy)
        return viewer

    async def _secure(self, sock: socket.socket) -> Channel:
        if self._tls is None:
            return SocketChannel(sock)
        return await start_tls(sock, self._tls, server_side=True)

    def _serve(self, channel: Channel, sock: socket.socket, address: str) -> None:
        assert self._server is not None  # noqa: S101 - start() came before the first accept
        stream = ChannelStream(
            channel,
            sock,
            seconds=self.settings.request_seconds,
            on_gone=lambda: self._let_go(stream, address),
            on_idle=lambda idle: self._note(stream, address, idle),
        )
        self._streams.add(stream)
        self._server.handle_stream(stream, (address, 0))

    def _let_go(self, stream: ChannelStream, address: str) -> None:
        self._streams.discard(stream)
        self._pending.goes_on(stream)
        self._pending.forget(address)

    def _note(self, stream: ChannelStream, address: str, idle: bool) -> None:
        if idle:
            self._pending.rests(stream, address)
        else:
            self._pending.goes_on(stream)

    def _drop(self, sock: socket.socket, address: str) -> None:
        sock.close()
        self._pending.forget(address)


class _TurnedAway(Exception):
    """A connection that is not served, and the word for why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def _receive_header(sock: socket.socket) -> ProxyHeader:
    """The PROXY protocol's header, and not one byte behind it."""
    data = b""
    while True:
        try:
            piece = sock.recv(MOST_BYTES - len(data), socket.MSG_PEEK)
        except BlockingIOError:
            await readable(sock)
            continue
        if not piece:
            raise ConnectionResetError("closed before its PROXY protocol header was whole")
        header = parse_header(data + piece)
        data += sock.recv(len(piece) if header is None else header.size - len(data))
        if header is not None:
            return header


def _quote_nothing(record: logging.LogRecord) -> bool:
    """Tornado quotes the header that it refuses, whole; it may hold a token."""
    if isinstance(record.msg, str) and record.msg.startswith("Malformed HTTP message from %s"):
        record.args = record.args[:1] if isinstance(record.args, tuple) else ()
        record.msg = "malformed HTTP message from %s"
    return True


def _ignore(why: str) -> None:
    return None
