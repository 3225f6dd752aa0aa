"""Proxy: carries a handshake script's bytes between two peers.

The only place that joins script and channel; knows no protocol.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from consolekit.core.errors import HandshakeError, HandshakeTimeout, PeerClosed, ProviderError
from consolekit.core.handshake import CLIENT, SERVER, Handshake, Script, StartTls
from consolekit.core.timings import Step
from consolekit.core.types import Endpoint, Transport
from consolekit.net.channels import Channel, receive, send_all
from consolekit.proxy.connect import connect, secure
from consolekit.proxy.upstream import make_request, upgrade
from consolekit.proxy.viewer import ViewerStream

Measure = Callable[[Step], AbstractContextManager[None]]

_BANNER_SHARE = 0.3
"""Part of the handshake's deadline after which a server that has said nothing is connected again, once.

QEMU listens with a backlog of one: of several connections at the same moment one may be established and never
served. The server speaks first, so nothing retransmits and only a new connection helps.
"""


class Shake:
    """One script over one connection to the server and, after the 101, one viewer.

    Attributes:
        channel: The server's side as it is now; TLS may have replaced it.
        received: What the server said behind its handshake, where no script has a use for it.
        framed: Whether what follows on it are websocket frames: nothing to be put in, or taken out of, any.
        heard: Whether the server has said anything yet.
        on_heard: Called once, at its first bytes.
    """

    def __init__(
        self,
        handshake: Handshake | None,
        endpoint: Endpoint,
        channel: Channel,
        *,
        framed: bool = False,
        received: bytes = b"",
    ) -> None:
        self._handshake = handshake
        self.received = received
        self._endpoint = endpoint
        self._for_client = bytearray()
        self.channel: Channel = channel
        self.framed = framed
        self.heard: bool = False
        self.on_heard: Callable[[], None] = lambda: None

    @property
    def played(self) -> bool:
        """Whether nothing is left to be played with the viewer: there is no script."""
        return self._handshake is None

    async def until_client(self) -> None:
        """Play the part that needs the server alone; returns when the script wants the viewer, or is done.

        Raises:
            PeerError: the server did not behave; certificate and password refusals included.
        """
        if self._handshake is None:
            return
        await self._act(None)
        while self._handshake.waiting_for is SERVER and not self._for_client:
            await self._hear_server()
            await self._act(None)

    async def finish(self, viewer: ViewerStream) -> bytes:
        """Play the rest, with the viewer; returns the server's bytes that already belong to the relay.

        Raises:
            PeerError: one of the two did not behave.
            ViewerClosed: the viewer went away.
            OSError: the viewer's connection broke.
        """
        if self._handshake is None:
            return self.received
        await self._act(viewer)
        while not self._handshake.done:
            if self._handshake.waiting_for is CLIENT:
                self._handshake.receive(CLIENT, await viewer.read(self._handshake.wants()))
            else:
                await self._hear_server()
            await self._act(viewer)
        return self._handshake.take_leftover(SERVER)

    async def _hear_server(self) -> None:
        assert self._handshake is not None  # noqa: S101 - callers have asked
        try:
            data = await receive(self.channel, self._handshake.wants())
        except OSError:  # a reset is an end too, and the script may know what it means
            data = b""
        if not data:
            self._handshake.receive_eof(SERVER)
        if not self.heard:
            self.heard = True
            self.on_heard()
        self._handshake.receive(SERVER, data)

    async def _act(self, viewer: ViewerStream | None) -> None:
        """Do what the script wants done; keep what is for the viewer until there is one."""
        assert self._handshake is not None  # noqa: S101 - callers have asked
        while actions := self._handshake.take_actions():
            for action in actions:
                if isinstance(action, StartTls):
                    await self._start_tls(action)
                elif action.peer is SERVER:
                    await self._tell_server(action.data)
                else:
                    self._for_client += action.data
        if viewer is not None and self._for_client:
            data, self._for_client = bytes(self._for_client), bytearray()
            await viewer.write(data)

    async def _tell_server(self, data: bytes) -> None:
        try:
            await send_all(self.channel, data)
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise PeerClosed(f"the connection broke in the middle of the handshake: {reason}") from exc

    async def _start_tls(self, action: StartTls) -> None:
        if action.peer is not SERVER:
            raise HandshakeError("TLS inside a handshake is with the server alone")
        endpoint = self._endpoint
        policy = action.policy or endpoint.tls
        self.channel = await secure(
            self.channel.unwrap_raw(), policy, endpoint.host, anonymous=action.anonymous
        )
        assert self._handshake is not None  # noqa: S101 - callers have asked
        self._handshake.tls_started()


async def reach(
    endpoint: Endpoint,
    make_script: Callable[[Endpoint], Script | None],
    *,
    connect_seconds: float,
    handshake_seconds: float,
    measure: Measure = lambda step: nullcontext(),
) -> Shake:
    """Connect and play the server's part, with one more try where the server said nothing at all.

    Args:
        endpoint: Where.
        make_script: Gives a fresh script, or None for a relay from the first byte.
        connect_seconds: Deadline of each connection attempt.
        handshake_seconds: Deadline of the server's part of the handshake, both tries together.
        measure: Goes around each connection attempt and each play of the server's part.

    Raises:
        PeerError: not reachable, not in time, not trusted, or it did not behave.
        TicketRefused: it wants another ticket; a fresh one may do.
        ProviderError: the provider wants what is not done here.
    """
    if endpoint.transport in (Transport.WS, Transport.WSS):
        return await _reach_websocket(endpoint, make_script, connect_seconds, handshake_seconds, measure)
    loop = asyncio.get_running_loop()
    silence = handshake_seconds * _BANNER_SHARE
    for patience, rest in ((silence, handshake_seconds), (handshake_seconds - silence,) * 2):
        script = make_script(endpoint)
        handshake = Handshake(script) if script is not None else None  # before there is a socket to lose
        with measure(Step.CONNECT):
            channel = await connect(endpoint, seconds=connect_seconds)
        shake = Shake(handshake, endpoint, channel)
        ends = loop.time() + rest
        try:
            with measure(Step.HANDSHAKE):
                if shake.played:
                    return shake
                async with asyncio.timeout(patience) as deadline:
                    shake.on_heard = functools.partial(deadline.reschedule, ends)
                    await shake.until_client()
            return shake
        except TimeoutError as exc:
            shake.channel.close()
            if shake.heard:
                raise HandshakeTimeout(f"{endpoint.address}: handshake not done in time") from exc
        except BaseException:
            shake.channel.close()
            raise
    raise HandshakeTimeout(f"{endpoint.address}: connected, and said nothing")


async def _reach_websocket(
    endpoint: Endpoint,
    make_script: Callable[[Endpoint], Script | None],
    connect_seconds: float,
    handshake_seconds: float,
    measure: Measure,
) -> Shake:
    """Connect and agree on a websocket; once, because a ticket in the request may be used up by it."""
    if make_script(endpoint) is not None:
        raise ProviderError("a handshake script inside a websocket is not supported")
    request = make_request(endpoint)
    with measure(Step.CONNECT):
        channel = await connect(endpoint, seconds=connect_seconds)
    try:
        with measure(Step.HANDSHAKE):
            async with asyncio.timeout(handshake_seconds):
                received = await upgrade(channel, request)
    except TimeoutError as exc:
        channel.close()
        raise HandshakeTimeout(f"{endpoint.address}: websocket handshake not done in time") from exc
    except BaseException:
        channel.close()
        raise
    return Shake(None, endpoint, channel, framed=True, received=received)
