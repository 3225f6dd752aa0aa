"""Auth: the store in an SQL database that several machines share: PostgreSQL, MariaDB, or SQLite.

Knows SQL statements and the rules of ``auth.life``; knows no HTTP. Every change is one transaction that
locks the rows it looks at (``SELECT ... FOR UPDATE``; the whole file in SQLite), so that looking and writing
are one step for every process on every machine. Tokens are there by their SHA-256 alone.

Revocations are numbered by one row that each of them locks until its commit: so numbers become visible in
order, and a follower that has read up to one has missed none before it. A counter of the database's own would
hand out numbers that are committed in any order.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

try:
    from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
except ModuleNotFoundError:
    raise ModuleNotFoundError("SQLAlchemy is not installed: pip install 'consolekit[sql]'") from None
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from consolekit.auth.base import OWNER_SECONDS, REVOCATION_SECONDS, WAIT_SECONDS, TokenStore
from consolekit.auth.life import GrantLife, require_hash
from consolekit.auth.records import RecordError, grant_text, read_grant, read_session, session_text
from consolekit.auth.sqlnotify import CHANNEL, News, Notified, Polled
from consolekit.auth.sqlpool import SqlPool
from consolekit.auth.sqlschema import GRANTS, HEAD, META, REVOCATIONS, SESSIONS, key_of
from consolekit.auth.sqlurl import CONFIG_SCHEMA, read_options
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Clock, Grant, Revocation, Scope, SessionInfo

_log = logging.getLogger(__name__)

_LIFE = (
    GRANTS.c.record,
    GRANTS.c.used_at,
    GRANTS.c.resume_hash,
    GRANTS.c.resume_until,
    GRANTS.c.outcome,
    GRANTS.c.number,
)
_KEYS = {Scope.GRANT: "grant_key", Scope.SERVER: "server_key", Scope.SUBJECT: "subject_key"}
_HEAD = select(META.c.value).where(META.c.name == HEAD)


class SqlTokenStore(TokenStore):
    """Keeps everything in tables ``consolekit_...`` of one database; connects when it is first used.

    Args:
        pool: The database; closed with the store.
        clock: Where time comes from. Machines that share the database must agree on the time.
    """

    shared: ClassVar[bool] = True
    config_schema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA

    def __init__(self, pool: SqlPool, *, clock: Clock) -> None:
        self._pool, self._clock = pool, clock
        self._news: News = Notified(pool) if pool.dialect == "postgresql" else Polled()

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Read URL and files.

        Raises:
            ConfigError: the URL is none of ours, a file cannot be read, or the driver is not installed.
        """
        read_options(config)

    @classmethod
    def from_config(cls, config: dict[str, Any], *, clock: Clock) -> Self:
        """Name the database; nothing is connected yet.

        Raises:
            ConfigError: the URL is none of ours, a file cannot be read, or the driver is not installed.
        """
        return cls(SqlPool(*read_options(config)), clock=clock)

    async def put(self, token_hash: str, grant: Grant) -> None:
        """Keep a grant.

        Raises:
            ValueError: not a SHA-256 in hex, or already there.
            StoreUnavailable: it could not be kept for certain.
        """
        row = {
            "token_hash": require_hash(token_hash),
            "record": grant_text(grant),
            "grant_key": key_of(grant.id),
            "server_key": key_of(grant.request.server_id),
            "subject_key": key_of(grant.request.subject),
            "issued_at": grant.issued_at,
            "expires_at": grant.expires_at,
        }

        async def work(db: AsyncConnection) -> bool:
            try:
                await db.execute(insert(GRANTS).inline().values(row))
            except IntegrityError:
                await db.rollback()
                return False
            return True

        if not await self._pool.call(work, write=True):
            raise ValueError("the token hash is already there")

    async def take(self, token_hash: str, *, resume_hash: str = "") -> Grant:
        """Redeem or resume.

        Raises:
            TokenRefused: unknown, expired, used or revoked.
            StoreUnavailable: it could not be told. If the answer to the commit was lost, the token may be
                spent; the browser with the same resume key gets it again all the same.
        """

        async def work(db: AsyncConnection) -> Grant:
            row = await _row(db, token_hash, lock=True)
            life = _life(row).taken(self._clock.now(), resume_hash)
            change = {
                "used_at": life.used_at,
                "resume_hash": life.resume_hash,
                "resume_until": life.resume_until,
            }
            await db.execute(update(GRANTS).where(GRANTS.c.number == row.number).values(change))
            return life.grant

        return await self._pool.call(work, write=True)

    async def inspect(self, token_hash: str) -> GrantLife:
        """What is kept under the hash.

        Raises:
            TokenRefused: nothing.
            StoreUnavailable: it could not be told.
        """

        async def work(db: AsyncConnection) -> GrantLife:
            return _life(await _row(db, token_hash))

        return await self._pool.call(work)

    async def release(self, grant_id: str, *, outcome: str, resume_until: float) -> None:
        """Note the end of a session.

        Raises:
            StoreUnavailable: it could not be noted.
        """
        query = select(*_LIFE).where(GRANTS.c.grant_key == key_of(grant_id)).order_by(GRANTS.c.number)

        async def work(db: AsyncConnection) -> None:
            for row in (await db.execute(query.with_for_update())).all():
                life = _life(row).released(outcome, resume_until)
                change = {"outcome": life.outcome, "resume_until": life.resume_until}
                await db.execute(update(GRANTS).where(GRANTS.c.number == row.number).values(change))

        await self._pool.call(work, write=True)

    async def grants(
        self, *, grant_id: str | None = None, server_id: str | None = None, subject: str | None = None
    ) -> list[Grant]:
        """The live grants, oldest first; one that a newer version wrote is left out, and logged.

        Raises:
            StoreUnavailable: they could not be told.
        """
        named = {"grant_key": grant_id, "server_key": server_id, "subject_key": subject}
        query = select(*_LIFE).order_by(GRANTS.c.issued_at, GRANTS.c.number)
        for column, name in named.items():
            if name is not None:
                query = query.where(GRANTS.c[column] == key_of(name))

        async def work(db: AsyncConnection) -> Sequence[Any]:
            return (await db.execute(query)).all()

        lives = _readable(await self._pool.call(work))
        now = self._clock.now()
        return [life.grant for life in lives if life.live(now)]

    async def revoke(self, revocation: Revocation) -> int:
        """Remove the grants and keep the order, in one step.

        Raises:
            StoreUnavailable: it is not certain that anything was revoked: do it again.
        """
        now = self._clock.now()

        async def work(db: AsyncConnection) -> int:
            await self._keep(db, revocation, now)
            if revocation.scope is not Scope.SESSION:
                return await _remove(db, revocation.scope, revocation.value, revocation.at, now)
            cut = await _grants_cut(db, revocation)
            went = [await _remove(db, Scope.GRANT, grant_id, revocation.at, now) for grant_id in sorted(cut)]
            return sum(went)

        return await self._pool.call(work, write=True)

    async def _keep(self, db: AsyncConnection, revocation: Revocation, now: float) -> None:
        """Give the order its number; from here to the commit nobody else gets one."""
        number = (await db.execute(_HEAD.with_for_update())).scalar_one() + 1
        await db.execute(update(META).where(META.c.name == HEAD).values(value=number))
        row = {
            "number": number,
            "kept_at": now,
            "scope": revocation.scope.value,
            "value": json.dumps(revocation.value),
            "at": revocation.at,
        }
        await db.execute(insert(REVOCATIONS).inline().values(row))
        if self._pool.dialect == "postgresql":
            await db.execute(select(func.pg_notify(CHANNEL, "")))

    async def revocations(self, after: int) -> tuple[int, list[Revocation]]:
        """Wait for what comes after the cursor, from whichever process.

        Raises:
            StoreUnavailable: it could not be told, or the connection that hears of news was lost.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT_SECONDS
        before: int | None = None

        async def work(db: AsyncConnection) -> tuple[int, list[Revocation]]:
            return await _news(db, after)

        while True:
            mark = await self._news.mark()
            head, found = await self._pool.call(work)
            if found and before is not None:
                self._news.missed(before)
            if found or after < 0 or loop.time() >= until:
                return head, found
            await self._news.wait(mark, until - loop.time())
            before = mark

    async def keep_sessions(self, owner: str, infos: Sequence[SessionInfo]) -> None:
        """Replace the owner's sessions.

        Raises:
            StoreUnavailable: they could not be written.
        """
        now, owner_key = self._clock.now(), key_of(owner)
        rows = [
            {
                "owner_key": owner_key,
                "session_key": key_of(info.id),
                "seen_at": now,
                "record": session_text(info),
            }
            for info in infos
        ]

        async def work(db: AsyncConnection) -> None:
            await db.execute(delete(SESSIONS).where(SESSIONS.c.owner_key == owner_key))
            if rows:
                await db.execute(insert(SESSIONS), rows)

        await self._pool.call(work, write=True)

    async def sessions(self) -> list[SessionInfo]:
        """Sessions of owners that were heard of, oldest first.

        Raises:
            StoreUnavailable: they could not be told.
        """
        now = self._clock.now()
        query = select(SESSIONS.c.record).where(SESSIONS.c.seen_at + OWNER_SECONDS > now)

        async def work(db: AsyncConnection) -> Sequence[str]:
            return (await db.execute(query)).scalars().all()

        return sorted(_infos(await self._pool.call(work)), key=lambda info: (info.started_at, info.id))

    async def purge(self) -> int:
        """Forget what is past; how many grants.

        Raises:
            StoreUnavailable: nothing was forgotten.
        """
        now, grants = self._clock.now(), GRANTS.c
        past = and_(grants.expires_at <= now, or_(grants.used_at.is_(None), grants.resume_until <= now))

        async def work(db: AsyncConnection) -> int:
            await db.execute(delete(SESSIONS).where(SESSIONS.c.seen_at + OWNER_SECONDS <= now))
            await db.execute(delete(REVOCATIONS).where(REVOCATIONS.c.kept_at + REVOCATION_SECONDS <= now))
            return (await db.execute(delete(GRANTS).where(past))).rowcount

        return await self._pool.call(work, write=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._news.aclose()
        await self._pool.aclose()


async def _row(db: AsyncConnection, token_hash: str, *, lock: bool = False) -> Any:
    """The row of a token; other transactions wait for it if ``lock``.

    Raises:
        TokenRefused: there is none.
    """
    try:
        query = select(*_LIFE).where(GRANTS.c.token_hash == require_hash(token_hash))
    except ValueError:  # such a text is never kept, and need not reach a database that may see it otherwise
        raise TokenRefused("unknown") from None
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise TokenRefused("unknown")
    return row


def _life(row: Any) -> GrantLife:
    """A row as what the rules are about.

    Raises:
        StoreUnavailable: this version cannot read it; then it may not be opened either.
    """
    try:
        grant = read_grant(row.record)
    except RecordError as exc:
        raise StoreUnavailable(str(exc)) from exc
    return GrantLife(
        grant=grant,
        used_at=row.used_at,
        resume_hash=row.resume_hash,
        resume_until=row.resume_until,
        outcome=row.outcome,
    )


def _readable(rows: Iterable[Any]) -> list[GrantLife]:
    """Every row that this version can read: one that it cannot must not hide the others from a list."""
    found = []
    for row in rows:
        try:
            found.append(_life(row))
        except StoreUnavailable as exc:
            _log.warning("a grant is left out of the list: %s", exc)
    return found


def _infos(records: Iterable[str]) -> list[SessionInfo]:
    found = []
    for record in records:
        try:
            found.append(read_session(record))
        except RecordError as exc:
            _log.warning("a session is left out of the list: %s", exc)
    return found


async def _remove(db: AsyncConnection, scope: Scope, name: str, at: float, now: float) -> int:
    """Delete grants; how many of them were live (see ``auth.life``; a record need not be readable to go)."""
    grants = GRANTS.c
    doomed: ColumnElement[bool] = and_(grants[_KEYS[scope]] == key_of(name), grants.issued_at <= at)
    told = delete(GRANTS).where(doomed).returning(grants.used_at, grants.expires_at, grants.resume_until)
    went = (await db.execute(told)).all()
    return sum(now < (row.expires_at if row.used_at is None else row.resume_until) for row in went)


async def _grants_cut(db: AsyncConnection, revocation: Revocation) -> set[str]:
    """The grants of the sessions that a revocation of scope SESSION names."""
    query = select(SESSIONS.c.record).where(SESSIONS.c.session_key == key_of(revocation.value))
    records = (await db.execute(query)).scalars().all()
    return {info.grant_id for info in _infos(records) if revocation.cuts(info)}


async def _news(db: AsyncConnection, after: int) -> tuple[int, list[Revocation]]:
    """The newest number, and the revocations above ``after`` up to it."""
    head: int = (await db.execute(_HEAD)).scalar_one()
    if after == head:
        return head, []
    # a cursor ahead of the database is from another one that was here before
    start, numbers = after if after < head else 0, REVOCATIONS.c.number
    query = select(REVOCATIONS).where(numbers > start, numbers <= head).order_by(numbers)
    rows = (await db.execute(query)).all()
    return head, [Revocation(scope=Scope(row.scope), value=json.loads(row.value), at=row.at) for row in rows]
