"""Proxy: one viewer's live use of a grant, from the redeemed token to the audit line.

``Session`` owns the life (deadlines, hooks, the end); ``Relay`` owns the bytes. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import logging
import secrets
from typing import Any

import attrs

from consolekit.auth.base import TokenValidator
from consolekit.core.errors import (
    AccessError,
    ConsoleKitError,
    Draining,
    LimitReached,
    PeerError,
)
from consolekit.core.types import Grant, Mode, SessionInfo
from consolekit.kit import ConsoleKit
from consolekit.net.channels import Channel, send_all, send_now
from consolekit.proxy.closecodes import close_code, describe
from consolekit.proxy.console import Console
from consolekit.proxy.metrics import Metrics
from consolekit.proxy.pump import Pump
from consolekit.proxy.relay import Relay, RelayEnd, RelaySettings, SiftedRelay
from consolekit.proxy.sessions import Sessions
from consolekit.proxy.shake import Shake
from consolekit.proxy.sieve import Sift
from consolekit.proxy.tunnel import Tunnel
from consolekit.proxy.viewer import ViewerClosed, ViewerStream
from consolekit.proxy.wheel import TimerWheel

_log = logging.getLogger(__name__)
_RELEASE_SECONDS = 5.0  # for the store


@attrs.frozen(kw_only=True)
class Timeouts:
    """Deadlines of a session's beginning, in seconds.

    Attributes:
        connect: To reach the server, TLS included; also what a provider has to open the console.
        handshake: For the server's part of the handshake, and again for the viewer's.
    """

    connect: float = 5.0
    handshake: float = 10.0


@attrs.frozen(kw_only=True)
class Surroundings:
    """What every session of a proxy shares.

    Attributes:
        kit: Providers, tokens, hooks, clock.
        sessions: The live ones.
        metrics: Where to count.
        wheel: The one timer.
        timeouts: Deadlines of the beginning.
        relay: Deadlines and limits of the rest.
    """

    kit: ConsoleKit
    sessions: Sessions
    metrics: Metrics
    wheel: TimerWheel
    timeouts: Timeouts
    relay: RelaySettings


class _State(enum.Enum):
    OPENING = "opening"
    OPEN = "open"  # the server is ready, the viewer has no 101 yet
    GREETING = "greeting"
    RELAYING = "relaying"
    ENDED = "ended"


class Session:
    """One viewer on one grant.

    ``open`` reaches the server while a refusal can still be an HTTP status; ``run`` takes the viewer's
    channel after the 101. Whatever happens, ``consolekit_session_closed`` is called once, the provider's
    ``close`` once for each endpoint it gave, and both sockets are closed.
    """

    __slots__ = (
        "__weakref__", "_around", "_console", "_deadline", "_end_reason", "_grant", "_info", "_opening",
        "_relay", "_shake", "_state", "_task", "_validator",
    )  # fmt: skip

    def __init__(
        self, around: Surroundings, grant: Grant, validator: TokenValidator, *, address: str
    ) -> None:
        request = grant.request
        self._around, self._grant, self._validator = around, grant, validator
        self._info = SessionInfo(
            id=secrets.token_hex(8),
            grant_id=grant.id,
            key=request.key,
            server_id=request.server_id,
            subject=request.subject,
            address=address,
            started_at=around.kit.clock.now(),
            issued_at=grant.issued_at,
            mode=request.mode,
        )
        self._state = _State.OPENING
        self._end_reason = ""
        self._console = Console(around.kit, grant, self._labels, counts_input=around.relay.idle_seconds > 0)
        self._shake: Shake | None = None
        self._relay: Pump | None = None
        self._opening: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def info(self) -> SessionInfo:
        """The redacted view as of now."""
        return self._info if self._relay is None else self._info_with()

    def _info_with(self, **more: Any) -> SessionInfo:
        """The same with something changed."""
        if self._relay is not None:
            more |= {"bytes_in": self._relay.bytes_in, "bytes_out": self._relay.bytes_out}
        return attrs.evolve(self._info, **more)

    def sockets(self) -> tuple[int, int]:
        """How many connections it holds, to its viewer and to its server; the relay has one of each."""
        if self._relay is not None:
            return 1, 1
        return int(self._state is _State.GREETING), int(self._shake is not None)

    # ---- the beginning: everything is decided here

    async def open(self) -> None:
        """Reach the console: provider, connection, the server's part of the handshake.

        Raises:
            LimitReached: too many sessions of this server or subject.
            AccessError: revoked meanwhile.
            ProviderError: the provider cannot give the console.
            PeerError: the server cannot be reached, is not trusted or did not behave.
            asyncio.CancelledError: the viewer went away while we were at it.
        """
        await self._join()
        self._around.kit.hooks.notify("consolekit_session_opening", session=self._info)
        self._opening = asyncio.current_task()
        try:
            if self._end_reason:
                raise self.refusal()
            timeouts = self._around.timeouts
            self._shake = await self._console.reach(
                connect_seconds=timeouts.connect, handshake_seconds=timeouts.handshake
            )
            self._state = _State.OPEN
        except asyncio.CancelledError:
            told = self._end_reason
            await self._finish_surely(told or "viewer_gone")
            if told:
                raise self.refusal() from None
            raise
        except ConsoleKitError as exc:
            await self._finish_surely(self._end_reason or exc.code)
            raise
        except Exception as exc:  # a script's mistake, or ours: the session must not stay behind
            _log.exception("unexpected failure in a session", extra=self._labels())
            await self._finish_surely("internal")
            raise ConsoleKitError(f"unexpected {type(exc).__name__} while a session opened") from exc
        finally:
            self._opening = None

    async def _join(self) -> None:
        """Become one of the live sessions, in the place of the same browser's older one.

        That one is half dead, or the browser would not be here; unless its console has many channels.
        """
        older = self._around.sessions.of_grant(self._grant.id)
        try:
            self._around.sessions.add(self)
        except LimitReached as exc:
            self._state, self._info = _State.ENDED, attrs.evolve(self._info, reason=exc.code)
            await self._release()
            raise
        if not self._around.kit.registry.many_channels(self._grant.provider):
            for session in older:
                session.end("replaced")

    # ---- the life

    @property
    def ended(self) -> bool:
        """Whether it has ended or is about to."""
        return self._state is _State.ENDED or bool(self._end_reason)

    def refusal(self) -> ConsoleKitError:
        """What to answer where it was told to end before its 101."""
        if self._end_reason == "draining":
            return Draining("told to drain while a session was being opened")
        return AccessError(f"{self._end_reason} while it was being opened")

    def run(self, channel: Channel, answer: bytes, received: bytes) -> None:
        """Take the viewer's channel; returns at once. Only while the session has not ``ended``.

        Args:
            channel: Established, ours alone.
            answer: The 101, to be sent first.
            received: What the viewer sent behind its request.
        """
        loop = asyncio.get_running_loop()
        self._state = _State.GREETING
        left = self._grant.issued_at + self._grant.session_seconds - self._around.kit.clock.now()
        self._deadline = loop.call_later(max(0.0, left), self.end, "session_over")
        viewer = ViewerStream(channel, received, max_message=self._around.relay.max_message)
        assert self._shake is not None  # noqa: S101 - open() came first
        rest = send_now(channel, answer)
        if self._shake.played and not rest and not channel.unsent:  # the usual case: nobody is waited for
            self._begin_relay(viewer, self._shake.received)
        else:
            self._task = loop.create_task(self._greet(viewer, rest))

    async def _greet(self, viewer: ViewerStream, answer: bytes) -> None:
        """The rest of the 101, the viewer's part of the handshake; then the relay."""
        assert self._shake is not None  # noqa: S101 - open() came first
        code = None
        try:
            async with asyncio.timeout(self._around.timeouts.handshake):
                await send_all(viewer.channel, answer)
                rest = await self._shake.finish(viewer)
        except asyncio.CancelledError:
            reason = self._end_reason or "internal"
        except ViewerClosed as exc:
            reason, code = exc.reason, exc.close_code
        except (PeerError, TimeoutError) as exc:
            _log.info("handshake with the viewer failed: %s", exc, extra=self._labels())
            reason = "handshake_failed"
        except OSError:  # the server's own are PeerErrors
            reason = "viewer_gone"
        except Exception:
            _log.exception("unexpected failure in a session", extra=self._labels())
            reason = "internal"
        else:
            self._begin_relay(viewer, rest)
            return
        viewer.close(close_code(reason) if code is None else code, describe(reason)[0])
        self._shake.channel.close()
        await self._finish(reason)

    def _begin_relay(self, viewer: ViewerStream, server_bytes: bytes) -> None:
        assert self._shake is not None  # noqa: S101 - open() came first
        self._state = _State.RELAYING
        self._relay = self._make_relay(viewer, self._shake, server_bytes)
        self._shake = None  # the channel is the relay's now
        self._task = None
        self._around.kit.hooks.notify("consolekit_session_opened", session=self._info)
        self._around.metrics.opened(self._info.key)
        _log.info("session opened", extra=self._labels())
        self._relay.start()
        if self._end_reason:  # told to end in the very moment in which the viewer's part was done
            self._relay.end(close_code(self._end_reason), self._end_reason)

    def _make_relay(self, viewer: ViewerStream, shake: Shake, server_bytes: bytes) -> Pump:
        around = self._around
        wheel, settings, on_end = around.wheel, around.relay, self._relay_ended
        if self._info.mode is Mode.VIEW:  # who puts nothing in is not idle for that
            settings = attrs.evolve(settings, idle_seconds=0.0)
        found = self._console.viewer_filter
        sift = None if found is None else Sift(found)
        if shake.framed:
            unread = (viewer.take_raw(), server_bytes)
            return Tunnel(
                viewer.channel,
                shake.channel,
                unread=unread,
                wheel=wheel,
                settings=settings,
                on_end=on_end,
                parting=self._console.parting,
                sift=sift,
            )
        decoder, payload = viewer.hand_over()
        make = Relay if sift is None else functools.partial(SiftedRelay, sift=sift)
        return make(
            viewer.channel,
            shake.channel,
            decoder=decoder,
            client_payload=payload,
            server_bytes=server_bytes,
            wheel=wheel,
            settings=settings,
            on_end=on_end,
            parting=self._console.parting,
        )

    # ---- the end

    def end(self, reason: str) -> None:
        """End it now, in whatever state; the reason is a slug of ``closecodes``."""
        if self._end_reason or self._state is _State.ENDED:
            return
        self._end_reason = reason
        loop = asyncio.get_running_loop()
        if self._relay is not None:
            self._relay.end(close_code(reason), reason)
        elif self._state is _State.GREETING:
            loop.call_soon(self._stop_greeting)  # not at once: a task that has not begun cleans nothing up
        elif self._state is _State.OPEN:
            self._task = loop.create_task(self._finish(reason))
        elif self._opening is not None:
            self._opening.cancel()

    def _stop_greeting(self) -> None:
        if self._state is _State.GREETING and self._task is not None:
            self._task.cancel()

    def _relay_ended(self, end: RelayEnd) -> None:
        if end.detail:
            _log.info("a relay failed: %s", end.detail, extra=self._labels())
        self._task = asyncio.get_running_loop().create_task(self._finish(end.reason))

    async def _finish_surely(self, reason: str) -> None:
        """``_finish``, to its end, even if whoever waits for it is cancelled meanwhile."""
        self._task = asyncio.get_running_loop().create_task(self._finish(reason))
        await asyncio.shield(self._task)

    async def _finish(self, reason: str) -> None:
        """Give everything back, tell everyone, once."""
        if self._state is _State.ENDED:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        ended = self._info_with(ended_at=self._around.kit.clock.now(), reason=reason)
        relayed = self._state is _State.RELAYING
        self._state, self._info = _State.ENDED, ended
        self._around.sessions.remove(ended)
        if self._shake is not None:
            self._shake.channel.close()
        self._around.metrics.ended(ended, relayed=relayed)
        self._around.kit.hooks.notify("consolekit_session_closed", session=ended)
        _log.info("session closed", extra=self._labels())
        await self._console.close()
        if reason != "replaced" and not self._around.sessions.of_grant(self._grant.id):
            # else the grant, and its resume deadline, are the newer session's now
            await self._release()

    async def _release(self) -> None:
        """Give the grant back; the end goes on even if this fails or hangs."""
        reason = self._info.reason
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._validator.released(self._grant, reason, resumable=describe(reason)[1])
        except Exception:
            _log.exception("the token's release failed", extra=self._labels())

    def _labels(self) -> dict[str, object]:
        """For the log: who, what, from where, how long, how much, why."""
        info = self._info
        labels: dict[str, object] = {
            "session_id": info.id,
            "grant_id": info.grant_id,
            "provider": self._grant.provider,
            "console": str(info.key),
            "server_id": info.server_id,
            "subject": info.subject,
            "mode": info.mode.value,
            "remote_address": info.address,
        }
        if info.ended_at is not None:
            labels |= {
                "reason": info.reason,
                "seconds": round(info.ended_at - info.started_at, 3),
                "bytes_in": info.bytes_in,
                "bytes_out": info.bytes_out,
            }
        return labels
