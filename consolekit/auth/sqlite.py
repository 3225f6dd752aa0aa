"""Auth: the embedded default store: one SQLite file that several processes of one machine share.

Knows SQL and the rules of ``auth.life``; knows no HTTP. Every change is one ``BEGIN IMMEDIATE`` transaction,
so that looking and writing are one step for every process. Tokens are there by their SHA-256 alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from consolekit.auth.base import OWNER_SECONDS, REVOCATION_SECONDS, WAIT_SECONDS, TokenStore
from consolekit.auth.life import GrantLife, require_hash
from consolekit.auth.records import RecordError, grant_text, read_grant, read_session, session_text
from consolekit.auth.sqlitefile import SqliteFile
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Clock, Grant, Revocation, Scope, SessionInfo

_log = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
_POLL_SECONDS: Final = 0.25

_SCHEMA: Final = (
    """CREATE TABLE grants (
        number INTEGER PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, record TEXT NOT NULL,
        grant_id TEXT NOT NULL, server_id TEXT NOT NULL, subject TEXT NOT NULL,
        issued_at REAL NOT NULL, expires_at REAL NOT NULL,
        used_at REAL, resume_hash TEXT NOT NULL DEFAULT '', resume_until REAL NOT NULL DEFAULT 0,
        outcome TEXT)""",
    "CREATE INDEX grants_by_id ON grants (grant_id)",
    "CREATE INDEX grants_by_server ON grants (server_id)",
    "CREATE INDEX grants_by_subject ON grants (subject)",
    # AUTOINCREMENT: a number never comes back, not even after a purge; cursors depend on it
    """CREATE TABLE revocations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kept_at REAL NOT NULL,
        scope TEXT NOT NULL, value TEXT NOT NULL, at REAL NOT NULL)""",
    """CREATE TABLE sessions (
        owner TEXT NOT NULL, session_id TEXT NOT NULL, seen_at REAL NOT NULL,
        started_at REAL NOT NULL, record TEXT NOT NULL, PRIMARY KEY (owner, session_id))""",
    "CREATE INDEX sessions_by_id ON sessions (session_id)",
)

_BY_HASH: Final = (
    "SELECT record, used_at, resume_hash, resume_until, outcome FROM grants WHERE token_hash = ?"
)
_BY_GRANT: Final = "SELECT record, used_at, resume_hash, resume_until, outcome FROM grants WHERE grant_id = ?"
_ALL: Final = "SELECT record, used_at, resume_hash, resume_until, outcome FROM grants"
_IN_ORDER: Final = " ORDER BY issued_at, number"
# Each gives back, for every grant that went, whether it was live: see auth.life
_REMOVE: Final = {
    Scope.GRANT: "DELETE FROM grants WHERE grant_id = :value AND issued_at <= :at"
    " RETURNING :now < iif(used_at IS NULL, expires_at, resume_until)",
    Scope.SERVER: "DELETE FROM grants WHERE server_id = :value AND issued_at <= :at"
    " RETURNING :now < iif(used_at IS NULL, expires_at, resume_until)",
    Scope.SUBJECT: "DELETE FROM grants WHERE subject = :value AND issued_at <= :at"
    " RETURNING :now < iif(used_at IS NULL, expires_at, resume_until)",
}


def default_path() -> Path:
    """Where the file is if nobody says: the system's place for root, else the user's own (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/consolekit/consolekit.db")
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "consolekit" / "consolekit.db"


class SqliteTokenStore(TokenStore):
    """Keeps everything in one file; every process that opens it sees the same.

    Args:
        path: The file; made with mode 0600 if it is not there.
        clock: Where time comes from.

    Raises:
        ConfigError: the file cannot be used; says why and what to do.
        StoreUnavailable: another process holds it locked just now.
    """

    shared: ClassVar[bool] = True
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"path": {"type": "string", "minLength": 1, "format": "path"}},
    }

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._clock = clock
        self._file = SqliteFile(path, version=SCHEMA_VERSION, schema=_SCHEMA)

    @classmethod
    def from_config(cls, config: dict[str, Any], *, clock: Clock) -> Self:
        """Open ``path``, or the file at ``default_path()``.

        Raises:
            ConfigError: the file cannot be used.
            StoreUnavailable: another process holds it locked just now.
        """
        path = Path(config["path"]).expanduser() if "path" in config else default_path()
        return cls(path, clock=clock)

    async def put(self, token_hash: str, grant: Grant) -> None:
        """Keep a grant.

        Raises:
            ValueError: not a SHA-256 in hex, or already there.
            StoreUnavailable: it could not be kept.
        """
        row = (
            require_hash(token_hash),
            grant_text(grant),
            grant.id,
            grant.request.server_id,
            grant.request.subject,
            grant.issued_at,
            grant.expires_at,
        )

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "INSERT INTO grants (token_hash, record, grant_id, server_id, subject, issued_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (token_hash) DO NOTHING",
                row,
            ).rowcount

        if await self._file.call(work, write=True) == 0:
            raise ValueError("the token hash is already there")

    async def take(self, token_hash: str, *, resume_hash: str = "") -> Grant:
        """Redeem or resume.

        Raises:
            TokenRefused: unknown, expired, used or revoked.
            StoreUnavailable: it could not be told; the token is not spent.
        """

        def work(db: sqlite3.Connection) -> Grant:
            life = _find(db, token_hash).taken(self._clock.now(), resume_hash)
            db.execute(
                "UPDATE grants SET used_at = ?, resume_hash = ?, resume_until = ? WHERE token_hash = ?",
                (life.used_at, life.resume_hash, life.resume_until, token_hash),
            )
            return life.grant

        return await self._file.call(work, write=True)

    async def inspect(self, token_hash: str) -> GrantLife:
        """What is kept under the hash.

        Raises:
            TokenRefused: nothing.
            StoreUnavailable: it could not be told.
        """
        return await self._file.call(lambda db: _find(db, token_hash))

    async def release(self, grant_id: str, *, outcome: str, resume_until: float) -> None:
        """Note the end of a session.

        Raises:
            StoreUnavailable: it could not be noted.
        """

        def work(db: sqlite3.Connection) -> None:
            row = db.execute(_BY_GRANT, (grant_id,)).fetchone()
            if row is not None:
                life = _life(row).released(outcome, resume_until)
                db.execute(
                    "UPDATE grants SET outcome = ?, resume_until = ? WHERE grant_id = ?",
                    (life.outcome, life.resume_until, grant_id),
                )

        await self._file.call(work, write=True)

    async def grants(
        self, *, grant_id: str | None = None, server_id: str | None = None, subject: str | None = None
    ) -> list[Grant]:
        """The live grants, oldest first; one that a newer version wrote is left out, and logged.

        Raises:
            StoreUnavailable: they could not be told.
        """
        named = {"grant_id": grant_id, "server_id": server_id, "subject": subject}
        asked = {column: value for column, value in named.items() if value is not None}
        where = " WHERE " + " AND ".join(f"{column} = ?" for column in asked) if asked else ""
        query, values = _ALL + where + _IN_ORDER, tuple(asked.values())
        lives = await self._file.call(lambda db: _readable(db.execute(query, values)))
        now = self._clock.now()
        return [life.grant for life in lives if life.live(now)]

    async def revoke(self, revocation: Revocation) -> int:
        """Remove the grants and keep the order, in one step.

        Raises:
            StoreUnavailable: nothing was revoked.
        """
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> int:
            db.execute(
                "INSERT INTO revocations (kept_at, scope, value, at) VALUES (?, ?, ?, ?)",
                (now, revocation.scope.value, revocation.value, revocation.at),
            )
            values = {"value": revocation.value, "at": revocation.at, "now": now}
            if revocation.scope is not Scope.SESSION:
                return _remove(db, revocation.scope, values)
            cut = _grants_cut(db, revocation)
            return sum(_remove(db, Scope.GRANT, values | {"value": grant_id}) for grant_id in cut)

        return await self._file.call(work, write=True)

    async def revocations(self, after: int) -> tuple[int, list[Revocation]]:
        """Wait for what comes after the cursor, from whichever process; looks four times a second.

        Raises:
            StoreUnavailable: it could not be told.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT_SECONDS
        while True:
            head, rows = await self._file.call(lambda db: _news(db, after))
            if rows or after < 0 or loop.time() >= until:
                return head, [Revocation(scope=Scope(row[0]), value=row[1], at=row[2]) for row in rows]
            await asyncio.sleep(_POLL_SECONDS)

    async def keep_sessions(self, owner: str, infos: Sequence[SessionInfo]) -> None:
        """Replace the owner's sessions.

        Raises:
            StoreUnavailable: they could not be written.
        """
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM sessions WHERE owner = ?", (owner,))
            db.executemany(
                "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)",
                ((owner, info.id, now, info.started_at, session_text(info)) for info in infos),
            )

        await self._file.call(work, write=True)

    async def sessions(self) -> list[SessionInfo]:
        """Sessions of owners that were heard of, oldest first.

        Raises:
            StoreUnavailable: they could not be told.
        """
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> list[SessionInfo]:
            rows = db.execute(
                "SELECT record FROM sessions WHERE ? < seen_at + ? ORDER BY started_at, session_id",
                (now, OWNER_SECONDS),
            )
            return _infos(rows)

        return await self._file.call(work)

    async def purge(self) -> int:
        """Forget what is past; how many grants.

        Raises:
            StoreUnavailable: nothing was forgotten.
        """
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> int:
            db.execute("DELETE FROM sessions WHERE ? >= seen_at + ?", (now, OWNER_SECONDS))
            db.execute("DELETE FROM revocations WHERE ? >= kept_at + ?", (now, REVOCATION_SECONDS))
            return db.execute(
                "DELETE FROM grants WHERE :now >= expires_at AND (used_at IS NULL OR :now >= resume_until)",
                {"now": now},
            ).rowcount

        return await self._file.call(work, write=True)

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()


def _life(row: tuple[Any, ...]) -> GrantLife:
    """A row as what the rules are about.

    Raises:
        StoreUnavailable: this version cannot read it; then it may not be opened either.
    """
    record, used_at, resume_hash, resume_until, outcome = row
    try:
        grant = read_grant(record)
    except RecordError as exc:
        raise StoreUnavailable(str(exc)) from exc
    return GrantLife(
        grant=grant, used_at=used_at, resume_hash=resume_hash, resume_until=resume_until, outcome=outcome
    )


def _find(db: sqlite3.Connection, token_hash: str) -> GrantLife:
    row = db.execute(_BY_HASH, (token_hash,)).fetchone()
    if row is None:
        raise TokenRefused("unknown")
    return _life(row)


def _readable(rows: Iterable[tuple[Any, ...]]) -> list[GrantLife]:
    """Every row that this version can read: one that it cannot must not hide the others from a list."""
    found = []
    for row in rows:
        try:
            found.append(_life(row))
        except StoreUnavailable as exc:
            _log.warning("a grant is left out of the list: %s", exc)
    return found


def _infos(rows: Iterable[tuple[str]]) -> list[SessionInfo]:
    found = []
    for (record,) in rows:
        try:
            found.append(read_session(record))
        except RecordError as exc:
            _log.warning("a session is left out of the list: %s", exc)
    return found


def _remove(db: sqlite3.Connection, scope: Scope, values: dict[str, Any]) -> int:
    """Delete grants; how many of them were live."""
    return sum(live for (live,) in db.execute(_REMOVE[scope], values).fetchall())


def _grants_cut(db: sqlite3.Connection, revocation: Revocation) -> set[str]:
    """The grants of the sessions that a revocation of scope SESSION names."""
    rows = db.execute("SELECT record FROM sessions WHERE session_id = ?", (revocation.value,))
    return {info.grant_id for info in _infos(rows) if revocation.cuts(info)}


def _news(db: sqlite3.Connection, after: int) -> tuple[int, list[tuple[str, str, float]]]:
    """The newest number, and the revocations above ``after``."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'").fetchone()
    head = row[0] if row else 0
    if after == head:
        return head, []
    # a cursor ahead of the file is from another file that was here before
    start = after if after < head else 0
    rows = db.execute("SELECT scope, value, at FROM revocations WHERE number > ? ORDER BY number", (start,))
    return head, rows.fetchall()
