"""Auth: the token store in Redis or Valkey, for several machines. Knows the rules of ``auth.life``, no HTTP.

A grant is changed by reading it, asking the rules, and replacing what was read *if it is still exactly
that*: so the rules stand in one place, and one of many who redeem at once wins. Times are decimal texts that
give the same number back. Redis' own expiry only cleans up where no proxy purges any more: our clock decides.
"""

from __future__ import annotations

import hashlib
import json
import logging
from asyncio import get_running_loop
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, Self

import attrs
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError

from consolekit.auth.base import OWNER_SECONDS, REVOCATION_SECONDS, WAIT_SECONDS, TokenStore
from consolekit.auth.life import GrantLife, require_hash
from consolekit.auth.records import RecordError, grant_text, read_grant, read_session, session_text
from consolekit.auth.redislink import RedisLink, ask
from consolekit.auth.redisnews import RedisNews
from consolekit.auth.redisscripts import (
    KEEP_SESSIONS,
    NEWS,
    PURGE,
    PUT,
    READ,
    REPLACE,
    REVOKE,
    SCHEMA_VERSION,
)
from consolekit.auth.redissettings import CONFIG_SCHEMA, RedisSettings, settings_from_config
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Clock, Grant, Revocation, Scope, SessionInfo

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 200  # a script stops the whole server: no long ones
_SPARE_SECONDS: Final = 86400.0  # clocks differ; and a proxy that was down for a night still purges
_LONGEST_MS: Final = 10**15


@attrs.frozen
class _Kept:
    """A grant as it was read, and what it must still be to be replaced."""

    token_hash: str
    number: str
    life_text: str
    life: GrantLife


class RedisTokenStore(TokenStore):
    """Keeps everything in one Redis; every process that names it sees the same.

    Belongs to one event loop, and connects at its first call.

    Args:
        settings: Where Redis is.
        clock: Where time comes from.
    """

    shared: ClassVar[bool] = True
    config_schema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA

    def __init__(self, settings: RedisSettings, *, clock: Clock) -> None:
        self._clock = clock
        self._base = f"{{{settings.prefix}}}"  # braces: the hash tag, so that a cluster keeps it in one slot
        self._link = RedisLink(settings, self._greet)
        self._news = RedisNews(self._link, f"{self._base}:news")
        self._looked = False

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Look at the URL and the files.

        Raises:
            ConfigError: the URL is none of Redis, or a file cannot be read.
        """
        settings_from_config(config)

    @classmethod
    def from_config(cls, config: dict[str, Any], *, clock: Clock) -> Self:
        """Build; Redis itself is asked at the first call.

        Raises:
            ConfigError: the URL is none of Redis, or a file cannot be read.
        """
        return cls(settings_from_config(config), clock=clock)

    async def put(self, token_hash: str, grant: Grant) -> None:
        """Keep a grant.

        Raises:
            ValueError: not a SHA-256 in hex, or already there.
            StoreUnavailable: it is not certain that it is kept.
        """
        life = GrantLife(grant=grant)
        names = (grant.id, grant.request.server_id, grant.request.subject)
        row = (require_hash(token_hash), grant_text(grant), _life_text(life), *map(_name, names))
        async with self._link.answering(write=True):
            ends = self._ends(life)
            if not await self._link.run(PUT, self._base, *row, repr(grant.issued_at), *ends):
                raise ValueError("the token hash is already there")

    async def take(self, token_hash: str, *, resume_hash: str = "") -> Grant:
        """Redeem or resume.

        Raises:
            TokenRefused: unknown, expired, used or revoked.
            StoreUnavailable: it could not be told. The token may be spent if Redis was lost just then.
        """
        async with self._link.answering(write=True):
            while True:  # each round that fails is one in which somebody else came on: it ends
                kept = await self._find(token_hash)
                if await self._replace(kept, kept.life.taken(self._clock.now(), resume_hash)):
                    return kept.life.grant

    async def inspect(self, token_hash: str) -> GrantLife:
        """What is kept under the hash.

        Raises:
            TokenRefused: nothing.
            StoreUnavailable: it could not be told.
        """
        async with self._link.answering():
            return (await self._find(token_hash)).life

    async def release(self, grant_id: str, *, outcome: str, resume_until: float) -> None:
        """Note the end of a session.

        Raises:
            StoreUnavailable: it could not be noted.
        """
        async with self._link.answering(write=True):
            todo = await self._hashes(f"id:{_name(grant_id)}")
            while todo:
                kept = [_kept(row) for row in await self._link.run(READ, self._base, *todo)]
                todo = [
                    each.token_hash
                    for each in kept
                    if not await self._replace(each, each.life.released(outcome, resume_until))
                ]

    async def grants(
        self, *, grant_id: str | None = None, server_id: str | None = None, subject: str | None = None
    ) -> list[Grant]:
        """The live grants, oldest first; one that a newer version wrote is left out, and logged.

        Raises:
            StoreUnavailable: they could not be told.
        """
        named = {"id": grant_id, "server": server_id, "subject": subject}
        index = next((f"{key}:{_name(value)}" for key, value in named.items() if value is not None), "ends")
        found: list[_Kept] = []
        async with self._link.answering():
            hashes = await self._hashes(index)
            for start in range(0, len(hashes), _AT_ONCE):
                found += _readable(await self._link.run(READ, self._base, *hashes[start : start + _AT_ONCE]))
        now = self._clock.now()
        alive = [
            each for each in found if each.life.live(now) and each.life.is_of(grant_id, server_id, subject)
        ]
        alive.sort(key=lambda each: (each.life.grant.issued_at, int(each.number)))
        return [each.life.grant for each in alive]

    async def revoke(self, revocation: Revocation) -> int:
        """Remove the grants and keep the order, in one step; tell who waits.

        Raises:
            StoreUnavailable: it is not certain that it is revoked: do it again.
        """
        now, forgotten = self._clock.now(), self._clock.now() + REVOCATION_SECONDS
        order = json.dumps([revocation.scope.value, revocation.value, revocation.at])
        async with self._link.answering(write=True):
            if revocation.scope is Scope.SESSION:
                indexes = [f"id:{_name(grant_id)}" for grant_id in await self._grants_cut(revocation)]
            else:
                kind = {Scope.GRANT: "id", Scope.SERVER: "server", Scope.SUBJECT: "subject"}
                indexes = [f"{kind[revocation.scope]}:{_name(revocation.value)}"]
            until = (repr(forgotten), _milliseconds(REVOCATION_SECONDS))
            words = (repr(revocation.at), *indexes)
            gone = await self._link.run(REVOKE, self._base, order, *until, *words)
        return sum(each.life.live(now) for each in _readable(("", "0", *row) for row in gone))

    async def _grants_cut(self, revocation: Revocation) -> set[str]:
        """The grants of the sessions that a revocation of scope SESSION names."""
        said = await self._link.command("HVALS", f"{self._base}:sessions")
        return {info.grant_id for info in _infos(_texts(said, 0.0)) if revocation.cuts(info)}

    async def revocations(self, after: int) -> tuple[int, list[Revocation]]:
        """Wait for what comes after the cursor, from whichever host; Redis says when there is something.

        Raises:
            StoreUnavailable: it cannot be told, or the channel was lost; the next call reads what came
                meanwhile.
        """
        loop = get_running_loop()
        until = loop.time() + WAIT_SECONDS
        while True:
            seen = await self._news.heard() if after >= 0 else 0  # first listen, then look
            async with self._link.answering():
                head, orders = await self._link.run(NEWS, self._base, after)
            if orders or after < 0 or loop.time() >= until:
                return int(head), [_order(text) for text in orders]
            await self._news.wait(seen, until)

    async def keep_sessions(self, owner: str, infos: Sequence[SessionInfo]) -> None:
        """Replace the owner's sessions.

        Raises:
            StoreUnavailable: they could not be written.
        """
        gone = self._clock.now() + OWNER_SECONDS
        said = json.dumps([gone, [session_text(info) for info in infos]]) if infos else ""
        words = (owner, said, repr(gone), _milliseconds(OWNER_SECONDS))
        async with self._link.answering(write=True):
            await self._link.run(KEEP_SESSIONS, self._base, *words)

    async def sessions(self) -> list[SessionInfo]:
        """Sessions of owners that were heard of, oldest first.

        Raises:
            StoreUnavailable: they could not be told.
        """
        async with self._link.answering():
            said = await self._link.command("HVALS", f"{self._base}:sessions")
        return sorted(_infos(_texts(said, self._clock.now())), key=lambda info: (info.started_at, info.id))

    async def purge(self) -> int:
        """Forget what is past, a little at a time; how many grants.

        Raises:
            StoreUnavailable: not everything was forgotten.
        """
        now, forgotten, more = repr(self._clock.now()), 0, 1
        while more:
            async with self._link.answering(write=True):
                went, more = await self._link.run(PURGE, self._base, now, _AT_ONCE)
            forgotten += went
        return forgotten

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()
        await self._news.aclose()

    async def _greet(self, connection: AbstractConnection) -> None:
        """Look whose data this is; once, whether Redis may throw some of it away.

        Raises:
            StoreUnavailable: another version's.
        """
        schema = await ask(connection, "GET", f"{self._base}:schema")
        if schema not in (None, SCHEMA_VERSION):
            raise self._link.unavailable(
                f"another consolekit wrote it (schema {schema[:16]!r}, this one knows {SCHEMA_VERSION}): use "
                "a matching release, or another prefix"
            )
        if self._looked:
            return
        self._looked = True
        try:
            memory = await ask(connection, "INFO", "memory")
        except NoPermissionError:
            return
        facts = dict(line.split(":", 1) for line in memory.splitlines() if ":" in line)
        policy = facts.get("maxmemory_policy", "noeviction")
        if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
            _log.warning(
                "Redis may throw tokens and revocations away when its memory is full (maxmemory-policy %s): "
                "set noeviction",
                policy,
            )

    async def _find(self, token_hash: str) -> _Kept:
        rows = await self._link.run(READ, self._base, token_hash)
        if not rows:
            raise TokenRefused("unknown")
        return _kept(rows[0])

    async def _hashes(self, index: str) -> list[str]:
        found: list[str] = await self._link.command("ZRANGE", f"{self._base}:{index}", 0, -1)
        return found

    async def _replace(self, kept: _Kept, life: GrantLife) -> bool:
        """Write the grant's new life; False if it is not as it was read any more."""
        words = (kept.token_hash, kept.number, kept.life_text, _life_text(life), *self._ends(life))
        return bool(await self._link.run(REPLACE, self._base, *words))

    def _ends(self, life: GrantLife) -> tuple[str, int]:
        """From when on (epoch s) the grant is ``forgettable``, and in how many ms Redis may forget it."""
        ends = max(life.grant.expires_at, life.resume_until)
        return repr(ends), _milliseconds(max(0.0, ends - self._clock.now()))


def _milliseconds(seconds: float) -> int:
    """When Redis itself may forget, from now on: long after our clock says so."""
    return int(min((seconds + _SPARE_SECONDS) * 1000, _LONGEST_MS))


def _name(text: str) -> str:
    """A name as part of a key: of one length, whatever its characters are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _life_text(life: GrantLife) -> str:
    return json.dumps([life.used_at, life.resume_hash, life.resume_until, life.outcome])


def _kept(row: Sequence[str]) -> _Kept:
    """What Redis holds as what the rules are about.

    Raises:
        StoreUnavailable: this version cannot read it; then it may not be opened either.
    """
    token_hash, number, record, life_text = row
    try:
        grant = read_grant(record)
        used_at, resume_hash, resume_until, outcome = json.loads(life_text)
    except RecordError as exc:
        raise StoreUnavailable(str(exc)) from exc
    except (ValueError, TypeError):
        raise StoreUnavailable("the grant's record is damaged") from None
    life = GrantLife(
        grant=grant, used_at=used_at, resume_hash=resume_hash, resume_until=resume_until, outcome=outcome
    )
    return _Kept(token_hash, number, life_text, life)


def _readable(rows: Iterable[Sequence[str]]) -> list[_Kept]:
    """Every grant that this version can read: one that it cannot must not hide the others from a list."""
    found = []
    for row in rows:
        try:
            found.append(_kept(row))
        except StoreUnavailable as exc:
            _log.warning("a grant is left out of the list: %s", exc)
    return found


def _order(text: str) -> Revocation:
    scope, value, at = json.loads(text.partition(" ")[2])
    return Revocation(scope=Scope(scope), value=value, at=at)


def _texts(said: Iterable[str], now: float) -> list[str]:
    """The records of the sessions whose owners are not gone."""
    found: list[str] = []
    for text in said:
        gone, records = json.loads(text)
        if now < gone:
            found += records
    return found


def _infos(texts: Iterable[str]) -> list[SessionInfo]:
    found = []
    for text in texts:
        try:
            found.append(read_session(text))
        except RecordError as exc:
            _log.warning("a session is left out of the list: %s", exc)
    return found
