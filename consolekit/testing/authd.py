"""Testing: an ESXi host's authentication daemon, port 902, as ``mks`` tickets lead to it.

In front of any RFB server. Two TLS layers on the same raw socket, the second named inside the first; the
screen begins at ServerInit, as most hosts' do, or with RFB's own beginning. Refuses what the real one does.
Knows sockets; knows nothing of the gateway's script.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from consolekit.core.errors import PeerError
from consolekit.net.channels import Channel, SocketChannel, receive, send_all, start_tls
from consolekit.testing.tickets import Tickets

BANNER: Final = (
    b"220 VMware Authentication Daemon Version 1.10: SSL Required, ServerDaemonProtocol:SOAP, "
    b"MKSDisplayProtocol:VNC , , NFCSSL supported/t\r\n"
)
_LONGEST_LINE = 1024
_TALK_SECONDS = 10.0
_PIECE = 64 * 1024
_RFB = b"RFB 003.008\n"


class _Refused(Exception):
    """The client did not do what it has to; it is disconnected."""


@attrs.frozen(kw_only=True)
class Identity:
    """A certificate with its key, as a server shows it.

    Attributes:
        context: The server's context.
        sha1: SHA-1 of the certificate, upper case, with colons: as vSphere writes thumbprints.
        sha256: SHA-256 of it, likewise.
    """

    context: ssl.SSLContext
    sha1: str
    sha256: str

    @classmethod
    def load(cls, cert: Path, key: Path | None = None) -> Self:
        """Read from PEM files; the first certificate is the server's own.

        Raises:
            OSError: a file cannot be read.
            ValueError: it holds no certificate.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        der = load_pem_x509_certificates(cert.read_bytes())[0].public_bytes(Encoding.DER)
        return cls(
            context=context,
            sha1=_thumbprint(hashlib.sha1(der, usedforsecurity=False).digest()),
            sha256=_thumbprint(hashlib.sha256(der).digest()),
        )


class AuthdFront:
    """A listener that speaks as an authentication daemon does, with a screen behind it.

    Args:
        screen: Host and port of an RFB server that asks for no password.
        first: Whom the first TLS shows.
        second: Whom the second TLS shows; default: the same.
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        tickets: The good ones; default: none yet.
        cfg_file: The one configuration file that CONNECT may name; default: any.
        whole_rfb: Let the screen begin with RFB's own beginning, not at ServerInit.
        says_sha256: Name the second certificate by SHA-256, where real hosts say SHA-1.
        banner: What is said in clear.

    Attributes:
        tickets: The tickets.
        lines: Every line that came inside the first TLS, of all connections; empty where a client looked at
            the certificate and went away.
        open: How many viewers there are.
    """

    def __init__(
        self,
        screen: tuple[str, int],
        first: Identity,
        second: Identity | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tickets: Tickets | None = None,
        cfg_file: str = "",
        whole_rfb: bool = False,
        says_sha256: bool = False,
        banner: bytes = BANNER,
    ) -> None:
        self._screen, self._first, self._second = screen, first, second or first
        self._host, self._port = host, port
        self._cfg_file, self._whole_rfb, self._banner = cfg_file, whole_rfb, banner
        self.told: str = self._second.sha256 if says_sha256 else self._second.sha1.replace(":", "")
        self.tickets: Tickets = tickets or Tickets()
        self.lines: list[str] = []
        self.open: int = 0
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        self._listener = socket.create_server((self._host, self._port))
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._hold(self._accept(self._listener))

    async def aclose(self) -> None:
        """Stop listening, drop every viewer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def until_open(self, count: int) -> None:
        """Wait until there are exactly so many viewers."""
        while self.open != count:
            self._changed.clear()
            await self._changed.wait()

    def _hold(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setblocking(False)
            self._hold(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        with contextlib.closing(sock), contextlib.suppress(OSError, PeerError, TimeoutError, _Refused):
            async with asyncio.timeout(_TALK_SECONDS):
                viewer = await self._talk(sock)
            self._count(1)
            try:
                await self._show(viewer)
            finally:
                self._count(-1)

    async def _talk(self, sock: socket.socket) -> Channel:
        """The whole conversation; gives the channel that the screen goes through."""
        await send_all(SocketChannel(sock), self._banner)
        first = await start_tls(sock, self._first.context, server_side=True)
        nonce = await self._commands(first)
        second = await start_tls(first.unwrap_raw(), self._second.context, server_side=True)
        if await _exactly(second, len(nonce)) != nonce:
            raise _Refused
        return second

    async def _commands(self, channel: Channel) -> bytes:
        """USER, PASS, THUMBPRINT, CONNECT, in this order; gives the nonce."""
        user = await self._command(channel, "USER")
        await _reply(channel, 331, "Password required for user.")
        password = await self._command(channel, "PASS")
        if user != password or not self.tickets.take(user):
            await _reply(channel, 530, f"Login incorrect for {user}.")
            raise _Refused
        await _reply(channel, 230, "User logged in.")
        nonce = await self._command(channel, "THUMBPRINT")
        if not _is_nonce(nonce):
            await _reply(channel, 501, "No nonce.")
            raise _Refused
        await _reply(channel, 200, self.told)
        target = await self._command(channel, "CONNECT")
        cfg_file, _, protocol = target.rpartition(" ")
        if protocol != "mks" or not cfg_file or cfg_file != (self._cfg_file or cfg_file):
            await _reply(channel, 550, "No such machine.")
            raise _Refused
        await _reply(channel, 200, f"Connect {cfg_file}")
        return nonce.encode()

    async def _command(self, channel: Channel, wanted: str) -> str:
        """The argument of the next line, which must be this command."""
        line = b""
        while not line.endswith(b"\r\n"):
            if len(line) > _LONGEST_LINE:
                raise _Refused
            line += await _exactly(channel, 1)
        text = line[:-2].decode("utf-8", "replace")
        self.lines.append(text)
        command, _, argument = text.partition(" ")
        if command != wanted:
            await _reply(channel, 503, f"{wanted} is expected.")
            raise _Refused
        return argument

    async def _show(self, viewer: Channel) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET6 if ":" in self._screen[0] else socket.AF_INET) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, self._screen)
            screen = SocketChannel(sock)
            if not self._whole_rfb:
                await _skip_to_server_init(screen)
            await _both_ways(viewer, screen)

    def _count(self, step: int) -> None:
        self.open += step
        self._changed.set()


async def _skip_to_server_init(screen: Channel) -> None:
    """Play the viewer of an RFB 3.8 server without a password, ClientInit included (RFC 6143, 7.1 to 7.3)."""
    await _exactly(screen, len(_RFB))
    await send_all(screen, _RFB)
    (count,) = await _exactly(screen, 1)
    if 1 not in await _exactly(screen, count):
        raise _Refused
    await send_all(screen, b"\x01")
    if any(await _exactly(screen, 4)):
        raise _Refused
    await send_all(screen, b"\x01")


async def _both_ways(viewer: Channel, screen: Channel) -> None:
    """Until one of the two is gone."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_pass(viewer, screen)), loop.create_task(_pass(screen, viewer))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(source: Channel, sink: Channel) -> None:
    while data := await receive(source, _PIECE):
        await send_all(sink, data)


async def _exactly(channel: Channel, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await receive(channel, size - len(data))
        if not piece:
            raise _Refused
        data += piece
    return data


async def _reply(channel: Channel, code: int, text: str) -> None:
    await send_all(channel, f"{code} {text}\r\n".encode())


def _is_nonce(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 12
    except (binascii.Error, ValueError):
        return False


def _thumbprint(digest: bytes) -> str:
    return digest.hex(":").upper()
