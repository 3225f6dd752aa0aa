"""Auth: the token store of a single process, forgotten with it. Knows no file and no other process.

For ``demo``, tests and a ``serve`` that may forget. Everything runs on one event loop, and no method waits
between looking and writing: that is what makes ``take`` atomic here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from consolekit.auth.base import OWNER_SECONDS, REVOCATION_SECONDS, WAIT_SECONDS, TokenStore
from consolekit.auth.life import GrantLife, require_hash
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Clock, Grant, Revocation, Scope, SessionInfo


class MemoryTokenStore(TokenStore):
    """Keeps everything in dictionaries.

    Args:
        clock: Where time comes from.
    """

    shared: ClassVar[bool] = False

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lives: dict[str, GrantLife] = {}
        self._sessions: dict[str, tuple[float, dict[str, SessionInfo]]] = {}
        self._revocations: dict[int, tuple[float, Revocation]] = {}
        self._head = 0
        self._news = asyncio.Condition()

    @classmethod
    def from_config(cls, config: dict[str, Any], *, clock: Clock) -> Self:
        """Build; there is nothing to configure."""
        return cls(clock=clock)

    async def put(self, token_hash: str, grant: Grant) -> None:
        """Keep a grant.

        Raises:
            ValueError: not a SHA-256 in hex, or already there.
        """
        if require_hash(token_hash) in self._lives:
            raise ValueError("the token hash is already there")
        self._lives[token_hash] = GrantLife(grant=grant)

    async def take(self, token_hash: str, *, resume_hash: str = "") -> Grant:
        """Redeem or resume.

        Raises:
            TokenRefused: unknown, expired, used or revoked.
        """
        life = await self.inspect(token_hash)
        self._lives[token_hash] = life.taken(self._clock.now(), resume_hash)
        return life.grant

    async def inspect(self, token_hash: str) -> GrantLife:
        """What is kept under the hash.

        Raises:
            TokenRefused: nothing.
        """
        life = self._lives.get(token_hash)
        if life is None:
            raise TokenRefused("unknown")
        return life

    async def release(self, grant_id: str, *, outcome: str, resume_until: float) -> None:
        """Note the end of a session."""
        for token_hash, life in self._lives.items():
            if life.grant.id == grant_id:
                self._lives[token_hash] = life.released(outcome, resume_until)

    async def grants(
        self, *, grant_id: str | None = None, server_id: str | None = None, subject: str | None = None
    ) -> list[Grant]:
        """The live grants, oldest first."""
        now = self._clock.now()
        named = (life for life in self._lives.values() if life.is_of(grant_id, server_id, subject))
        found = [life.grant for life in named if life.live(now)]
        return sorted(found, key=lambda grant: grant.issued_at)

    async def revoke(self, revocation: Revocation) -> int:
        """Remove the grants, tell who waits."""
        now = self._clock.now()
        ended = self._grants_of_session(revocation) if revocation.scope is Scope.SESSION else set()
        doomed = {
            token_hash: life
            for token_hash, life in self._lives.items()
            if life.grant.id in ended or revocation.kills(life.grant)
        }
        for token_hash in doomed:
            del self._lives[token_hash]
        self._head += 1
        self._revocations[self._head] = (now, revocation)
        async with self._news:
            self._news.notify_all()
        return sum(life.live(now) for life in doomed.values())

    def _grants_of_session(self, revocation: Revocation) -> set[str]:
        infos = (info for _, kept in self._sessions.values() for info in kept.values())
        return {info.grant_id for info in infos if revocation.cuts(info)}

    async def revocations(self, after: int) -> tuple[int, list[Revocation]]:
        """Wait for what comes after the cursor."""
        if after < 0:
            return self._head, [kept for _, kept in self._revocations.values()]
        if after > self._head:  # a cursor from before this store began
            after = 0
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._news:
                await self._news.wait_for(lambda: self._head > after)
        except TimeoutError:
            pass
        return self._head, [kept for number, (_, kept) in self._revocations.items() if number > after]

    async def keep_sessions(self, owner: str, infos: Sequence[SessionInfo]) -> None:
        """Replace the owner's sessions."""
        self._sessions[owner] = (self._clock.now(), {info.id: info for info in infos})

    async def sessions(self) -> list[SessionInfo]:
        """Sessions of owners that were heard of, oldest first."""
        now = self._clock.now()
        heard = (kept for seen_at, kept in self._sessions.values() if now < seen_at + OWNER_SECONDS)
        return sorted(
            (info for kept in heard for info in kept.values()), key=lambda info: (info.started_at, info.id)
        )

    async def purge(self) -> int:
        """Forget what is past; how many grants."""
        now = self._clock.now()
        before = len(self._lives)
        self._lives = {name: life for name, life in self._lives.items() if not life.forgettable(now)}
        self._sessions = {
            owner: (seen_at, kept)
            for owner, (seen_at, kept) in self._sessions.items()
            if now < seen_at + OWNER_SECONDS
        }
        self._revocations = {
            number: (kept_at, kept)
            for number, (kept_at, kept) in self._revocations.items()
            if now < kept_at + REVOCATION_SECONDS
        }
        return before - len(self._lives)
