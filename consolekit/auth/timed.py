"""Auth: any token store, with the time that each of its calls takes. Knows the contract, and no store."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final, NoReturn, TypeVar

from consolekit.auth.base import TokenStore
from consolekit.auth.life import GrantLife
from consolekit.core.timings import Step, Timings
from consolekit.core.types import Clock, Grant, Revocation, SessionInfo

_T = TypeVar("_T")

OPERATIONS: Final = (
    "grants", "inspect", "keep_sessions", "purge", "put", "release", "revoke", "sessions", "take",
)  # fmt: skip
"""What is measured; not ``revocations``, which waits for news by design."""


class TimedStore(TokenStore):
    """Another store, measured.

    Args:
        store: It; closed with this.
        timings: Who measures.
    """

    def __init__(self, store: TokenStore, timings: Timings) -> None:
        self._store, self._timings = store, timings

    def __getattr__(self, name: str) -> Any:
        """What is the store's own, such as ``shared``."""
        return getattr(self._store, name)

    @classmethod
    def from_config(cls, config: dict[str, Any], *, clock: Clock) -> NoReturn:
        """Never: this is made around a store that was.

        Raises:
            TypeError: always.
        """
        raise TypeError("a timed store is made around another, not from a configuration")

    async def _timed(self, operation: str, call: Awaitable[_T]) -> _T:
        with self._timings.measure(Step.STORE, operation):
            return await call

    async def put(self, token_hash: str, grant: Grant) -> None:
        """See ``TokenStore.put``."""
        await self._timed("put", self._store.put(token_hash, grant))

    async def take(self, token_hash: str, *, resume_hash: str = "") -> Grant:
        """See ``TokenStore.take``."""
        return await self._timed("take", self._store.take(token_hash, resume_hash=resume_hash))

    async def inspect(self, token_hash: str) -> GrantLife:
        """See ``TokenStore.inspect``."""
        return await self._timed("inspect", self._store.inspect(token_hash))

    async def release(self, grant_id: str, *, outcome: str, resume_until: float) -> None:
        """See ``TokenStore.release``."""
        call = self._store.release(grant_id, outcome=outcome, resume_until=resume_until)
        await self._timed("release", call)

    async def grants(
        self, *, grant_id: str | None = None, server_id: str | None = None, subject: str | None = None
    ) -> list[Grant]:
        """See ``TokenStore.grants``."""
        call = self._store.grants(grant_id=grant_id, server_id=server_id, subject=subject)
        return await self._timed("grants", call)

    async def revoke(self, revocation: Revocation) -> int:
        """See ``TokenStore.revoke``."""
        return await self._timed("revoke", self._store.revoke(revocation))

    async def revocations(self, after: int) -> tuple[int, list[Revocation]]:
        """See ``TokenStore.revocations``; not measured."""
        return await self._store.revocations(after)

    async def keep_sessions(self, owner: str, infos: Sequence[SessionInfo]) -> None:
        """See ``TokenStore.keep_sessions``."""
        await self._timed("keep_sessions", self._store.keep_sessions(owner, infos))

    async def sessions(self) -> list[SessionInfo]:
        """See ``TokenStore.sessions``."""
        return await self._timed("sessions", self._store.sessions())

    async def purge(self) -> int:
        """See ``TokenStore.purge``."""
        return await self._timed("purge", self._store.purge())

    async def aclose(self) -> None:
        """Close the store."""
        await self._store.aclose()
