"""Proxy: all live sessions of this process: limits, revocations that cut them, the list others see.

Knows sessions by a small protocol; knows no socket and no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs

from consolekit.auth.base import TokenStore
from consolekit.core.errors import Draining, LimitReached, StoreUnavailable
from consolekit.core.schema import MAX_TTL_SECONDS
from consolekit.core.types import Clock, Revocation, SessionInfo

_log = logging.getLogger(__name__)
_KEEP_SECONDS = 10.0  # the store calls an owner silent after 30 s
_KEEP_PAUSE = 0.5  # so that a rush of new sessions is written together
_PURGE_SECONDS = 60.0
_RETRY_SECONDS = 1.0


@attrs.frozen(kw_only=True)
class Limits:
    """How many live sessions there may be.

    Attributes:
        sessions: In this process.
        per_server: On one server.
        per_subject: For one subject.
        per_address: From one address.
    """

    sessions: int = 2000
    per_server: int = 8
    per_subject: int = 32
    per_address: int = 64


class LiveSession(Protocol):
    """What this file needs of a session."""

    def info(self) -> SessionInfo:
        """Its redacted view as of now."""

    def sockets(self) -> tuple[int, int]:
        """How many connections it holds, to its viewer and to its server."""

    def end(self, reason: str) -> None:
        """End it now, in whatever state; the reason is a slug of ``closecodes``."""


class Sessions:
    """The live sessions of this process.

    Args:
        store: Shared with other processes: revocations come from it, the list goes to it.
        clock: Where time comes from.
        limits: How many.

    Attributes:
        watching: False while revocations cannot be read; ``/readyz`` says so.
        draining: True once no new session is taken.
    """

    def __init__(self, store: TokenStore, clock: Clock, limits: Limits) -> None:
        self._store, self._clock, self._limits = store, clock, limits
        self._owner = secrets.token_hex(8)
        self._live: dict[str, LiveSession] = {}
        self._by_grant: dict[str, list[LiveSession]] = {}
        self._by_server: Counter[str] = Counter()
        self._by_subject: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()
        self._recent: list[Revocation] = []
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._empty = asyncio.Event()
        self._empty.set()
        self.watching: bool = False
        self.draining: bool = False

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._live.values()))

    async def start(self) -> None:
        """Begin to follow revocations and to publish the list.

        Raises:
            StoreUnavailable: the store cannot be read; a proxy that cannot be told to stop does not start.
        """
        cursor, kept = await self._store.revocations(-1)
        self._remember(kept)  # a token that no store knows yet may have been revoked before we began
        self.watching = True
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._watch(cursor), name="revocations"),
            loop.create_task(self._publish(), name="session list"),
            loop.create_task(self._purge(), name="purge"),
        ]

    async def aclose(self) -> None:
        """Stop following and take our sessions off the list."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._store.keep_sessions(self._owner, [])
        except StoreUnavailable as exc:
            _log.warning("the session list could not be cleared: %s", exc)

    def admit(self, address: str) -> None:
        """Before a token is looked at: is there room at all?

        Raises:
            Draining: this process takes no new session.
            LimitReached: in all, or for this address.
        """
        if self.draining:
            raise Draining("draining")
        self._check("sessions", len(self._live), self._limits.sessions)
        self._check("per_address", self._by_address[address], self._limits.per_address)

    def add(self, session: LiveSession) -> None:
        """Take a session in, from the moment its token is redeemed.

        Raises:
            LimitReached: too many for its server or subject; the same viewer's older ones do not count.
        """
        info = session.info()
        replaced = len(self._by_grant.get(info.grant_id, ()))
        self._check("per_server", self._by_server[info.server_id] - replaced, self._limits.per_server)
        self._check("per_subject", self._by_subject[info.subject] - replaced, self._limits.per_subject)
        self._live[info.id] = session
        self._by_grant.setdefault(info.grant_id, []).append(session)
        self._count(info, 1)
        self._empty.clear()
        self._changed.set()
        if any(revocation.cuts(info) for revocation in self._recent):
            session.end("revoked")

    def remove(self, info: SessionInfo) -> None:
        """Let go of an ended session."""
        session = self._live.pop(info.id, None)
        if session is None:
            return
        self._by_grant[info.grant_id].remove(session)
        if not self._by_grant[info.grant_id]:
            del self._by_grant[info.grant_id]
        self._count(info, -1)
        self._changed.set()
        if not self._live:
            self._empty.set()

    def of_grant(self, grant_id: str) -> list[LiveSession]:
        """The live sessions on a grant: a SPICE viewer's channels, or one and what it was resumed from."""
        return list(self._by_grant.get(grant_id, ()))

    async def drain(self, seconds: float) -> None:
        """Take no new sessions, wait for those that live; after ``seconds`` end what is left."""
        self.draining = True
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            for session in self:
                session.end("draining")
            await self._empty.wait()

    def _check(self, limit: str, count: int, allowed: int) -> None:
        if count >= allowed:
            raise LimitReached(limit, allowed)

    def _count(self, info: SessionInfo, step: int) -> None:
        for counter, name in (
            (self._by_server, info.server_id),
            (self._by_subject, info.subject),
            (self._by_address, info.address),
        ):
            counter[name] += step
            if not counter[name]:
                del counter[name]

    async def _watch(self, cursor: int) -> None:
        while True:
            try:
                cursor, revocations = await self._store.revocations(cursor)
            except StoreUnavailable as exc:
                if self.watching:
                    _log.error("revocations cannot be read: %s", exc)
                self.watching = False
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if not self.watching:
                _log.warning("revocations are read again")
            self.watching = True
            for revocation in revocations:
                self._cut(revocation)

    def _cut(self, revocation: Revocation) -> None:
        for session in self:
            if revocation.cuts(session.info()):
                session.end("revoked")
        self._remember([revocation])

    def _remember(self, revocations: Sequence[Revocation]) -> None:
        """Keep orders for as long as a token can live that was issued before them."""
        horizon = self._clock.now() - MAX_TTL_SECONDS
        self._recent = [kept for kept in (*self._recent, *revocations) if kept.at > horizon]

    async def _publish(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_KEEP_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                await self._store.keep_sessions(self._owner, [session.info() for session in self])
            except StoreUnavailable as exc:
                _log.warning("the session list could not be written: %s", exc)
                self._changed.set()
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(_KEEP_PAUSE)

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(_PURGE_SECONDS)
            try:
                await self._store.purge()
            except StoreUnavailable as exc:
                _log.warning("old grants could not be purged: %s", exc)
