"""Auth: the tables of the ``sql`` store, and how they come into a database. Knows no rule and no pool.

Every text in them is ASCII, whatever callers name their servers: names from outside are there as SHA-256 (so
any length, case and character compares exactly, in every database alike), records as JSON.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import SchemaItem

from consolekit.core.errors import ConfigError, Problem, StoreUnavailable

SCHEMA_VERSION: Final = 1

HEAD: Final = "revocations"
"""Name in ``META`` of the newest revocation's number."""

_VERSION: Final = "schema"
_LOCK: Final = 0x434B5453  # CKTS; advisory locks of one PostgreSQL database share their numbers
_LOCK_SECONDS: Final = 1

_metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there
_Record = Text().with_variant(MEDIUMTEXT(), "mariadb")  # TEXT holds 64 KiB
_Key = String(64)


def _table(name: str, *parts: SchemaItem) -> Table:
    return Table(
        f"consolekit_{name}",
        _metadata,
        *parts,
        mariadb_engine="InnoDB",
        mariadb_charset="ascii",
        mariadb_collate="ascii_bin",
    )


GRANTS: Final = _table(
    "grants",
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("token_hash", _Key, nullable=False, unique=True),
    Column("record", _Record, nullable=False),
    Column("grant_key", _Key, nullable=False),
    Column("server_key", _Key, nullable=False),
    Column("subject_key", _Key, nullable=False),
    Column("issued_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double),
    Column("resume_hash", _Key, nullable=False, default=""),
    Column("resume_until", Double, nullable=False, default=0.0),
    Column("outcome", String(64)),
    Index("consolekit_grants_by_grant", "grant_key"),
    Index("consolekit_grants_by_server", "server_key"),
    Index("consolekit_grants_by_subject", "subject_key"),
)

REVOCATIONS: Final = _table(
    "revocations",
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("kept_at", Double, nullable=False),
    Column("scope", String(16), nullable=False),
    Column("value", _Record, nullable=False),  # as JSON
    Column("at", Double, nullable=False),
)

SESSIONS: Final = _table(
    "sessions",
    Column("owner_key", _Key, primary_key=True),
    Column("session_key", _Key, primary_key=True),
    Column("seen_at", Double, nullable=False),
    Column("record", _Record, nullable=False),
    Index("consolekit_sessions_by_session", "session_key"),
)

META: Final = _table(
    "meta",
    Column("name", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
)


def key_of(name: str) -> str:
    """What stands in a key column for a name from outside."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


async def prepare(db: AsyncConnection) -> None:
    """See that the tables are there and ours; make them if there are none, once for all who try.

    Args:
        db: A connection in a write transaction, which the caller commits.

    Raises:
        ConfigError: another version of consolekit made them.
        StoreUnavailable: somebody else is making them just now.
    """
    version = await _version(db)
    if version is None:
        await _lock(db)
        try:
            version = await _version(db)
            if version is None:
                await db.run_sync(_create)
                version = SCHEMA_VERSION
        finally:
            await _unlock(db)
    if version != SCHEMA_VERSION:
        problem = (
            f"its tables were made by another consolekit (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): use a matching release, or name another database"
        )
        raise ConfigError([Problem("tokens.url", problem)])


async def _version(db: AsyncConnection) -> int | None:
    """None if there are no tables; a half-made set, which MariaDB may keep, counts as none."""
    if not await db.run_sync(lambda sync: inspect(sync).has_table(META.name)):
        return None
    found: int | None = (await db.execute(select(META.c.value).where(META.c.name == _VERSION))).scalar()
    return found


def _create(db: Connection) -> None:
    _metadata.create_all(db)
    db.execute(insert(META), [{"name": HEAD, "value": 0}, {"name": _VERSION, "value": SCHEMA_VERSION}])


async def _lock(db: AsyncConnection) -> None:
    """Whoever makes tables does so alone; SQLite's write transaction sees to that by itself."""
    if db.dialect.name == "postgresql":
        await db.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    elif db.dialect.name == "mariadb":
        asked = {"name": f"consolekit.{_LOCK}", "seconds": _LOCK_SECONDS}
        if (await db.execute(text("SELECT GET_LOCK(:name, :seconds)"), asked)).scalar() != 1:
            raise StoreUnavailable("another process is making the tables")


async def _unlock(db: AsyncConnection) -> None:
    """In PostgreSQL the lock ends with the transaction; MariaDB's tables are committed as they are made."""
    if db.dialect.name == "mariadb":
        await db.commit()
        await db.execute(text("DO RELEASE_LOCK(:name)"), {"name": f"consolekit.{_LOCK}"})
