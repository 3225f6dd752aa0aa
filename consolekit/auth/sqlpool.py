"""Auth: connections of the ``sql`` store: few, in one event loop, every call in time, healed after trouble.

Knows SQLAlchemy and its drivers; knows no grant and no token.

- Each call is a task and a transaction of its own. Its caller stops waiting at the deadline, or when it is
  cancelled itself; the task is then cancelled too, and its connection closed: no reply is ever left on a
  connection for the next one.
- What the database has certainly undone (a deadlock) or never had (a connection that had died in the pool)
  is tried again, in the same time. A commit without an answer is not: it may have happened.
- Nothing that a driver says is told: it may quote values. Its kind and code are.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from consolekit.auth.base import STORE_SECONDS
from consolekit.auth.sqlschema import prepare
from consolekit.core.errors import ConfigError, ConsoleKitError, StoreUnavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_POOL_SIZES: Final = {
    "sqlite": 1
}  # a file has one writer at a time: more would only wait in each other's way
_POOL_SIZE: Final = 5
_RECYCLE_SECONDS: Final = 1800  # below what firewalls and MariaDB's wait_timeout allow
_CALL_SECONDS: Final = STORE_SECONDS - 0.1  # so that we say why before those who ask give up
_LOCK_SECONDS: Final = 1.5
_ATTEMPTS: Final = 8
_PAUSE_SECONDS: Final = 0.01
_PATIENCE_SECONDS: Final = 0.5
_WRITES: Final = "consolekit_writes"

# Rolled back whole, by the database's own word: deadlock, serialisation failure, a file just being switched
_UNDONE: Final = frozenset({"40001", "40P01", "1213", "SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT"})


class SqlPool:
    """A database, as one process uses it.

    Args:
        url: Where; one of the three forms that ``auth.sqlurl`` lets through.
        connect_args: More for the driver, such as ``ssl``.

    Raises:
        ModuleNotFoundError: its driver is not installed.
    """

    def __init__(self, url: URL, connect_args: dict[str, Any]) -> None:
        self.dialect: str = url.get_backend_name()
        self.name: str = _name(url)
        self._file = Path(url.database) if self.dialect == "sqlite" and url.database else None
        self._url, self._connect_args = url, _driver_options(self.dialect) | connect_args
        self._engine = self._new_engine(
            pool_size=_POOL_SIZES.get(self.dialect, _POOL_SIZE),
            max_overflow=0,
            pool_timeout=STORE_SECONDS,
            pool_recycle=_RECYCLE_SECONDS,
            pool_use_lifo=True,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._preparing = asyncio.Lock()
        self._ready = self._was_ready = self._closed = False
        self._troubles: set[str] = set()

    def _new_engine(self, **options: Any) -> AsyncEngine:
        if self.dialect != "sqlite":
            options["isolation_level"] = "READ COMMITTED"  # no gap locks, and no snapshot that grows old
        engine = create_async_engine(
            self._url, connect_args=self._connect_args, hide_parameters=True, **options
        )
        if self.dialect == "sqlite":
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine

    def own_engine(self) -> AsyncEngine:
        """An engine without a pool, for a connection that is kept apart."""
        return self._new_engine(poolclass=NullPool)

    async def call(self, work: Callable[[AsyncConnection], Awaitable[_T]], *, write: bool = False) -> _T:
        """Run ``work`` in a transaction of its own. It may be run again, after one that was undone.

        Raises:
            ConsoleKitError: what ``work`` raised of it; nothing was written.
            StoreUnavailable: it was not done, or not for certain, in time.
            ConfigError: the tables are another version's; only until they once were ours.
        """
        return await self.in_time(self._attempts(work, write))

    async def in_time(self, doing: Coroutine[Any, Any, _T]) -> _T:
        """What ``doing`` gives within just under ``STORE_SECONDS``.

        Raises:
            ConsoleKitError: what it raised of it.
            StoreUnavailable: no answer, or trouble with the database.
        """
        try:
            loop = self._own_loop()
        except BaseException:
            doing.close()
            raise
        task = loop.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait([task], timeout=_CALL_SECONDS)
        finally:
            if not task.done():
                self._abandon(task)
        if not task.done() or task.cancelled():
            raise self.unavailable(f"no answer within {_CALL_SECONDS:g} s")
        try:
            return task.result()
        except ConsoleKitError:
            raise
        except Exception as exc:
            raise self.unavailable(_why(exc)) from None

    def unavailable(self, why: str) -> StoreUnavailable:
        """The error to raise; the log gets one line for each reason of an outage, not one for each call."""
        self._ready = False  # whatever comes back may be another database
        if why not in self._troubles:
            self._troubles.add(why)
            _log.error("token store %s is unavailable: %s", self.name, why)
        return StoreUnavailable(f"token store {self.name}: {why}")

    async def aclose(self) -> None:
        """End what still runs, close the connections; a database that hangs is not waited for."""
        if self._closed:
            return
        self._closed = True
        for task in list(self._tasks):
            self._abandon(task)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=2 * _PATIENCE_SECONDS)
        for _ in range(_POOL_SIZE + 1):  # a close that is cut short ends one connection; the others stay
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._engine.dispose()
                return
            except (TimeoutError, SQLAlchemyError, OSError):
                continue

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise StoreUnavailable("the token store is closed")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise RuntimeError("a SqlTokenStore belongs to the event loop that used it first: make another")
        self._loop = loop
        return loop

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: asyncio complains of those that nobody has asked for

    @staticmethod
    def _abandon(task: asyncio.Task[Any]) -> None:
        """Cancel it; SQLAlchemy then says goodbye to the server, and is cut short if that hangs too."""
        task.cancel()
        task.get_loop().call_later(_PATIENCE_SECONDS, task.cancel)

    async def _attempts(self, work: Callable[[AsyncConnection], Awaitable[_T]], write: bool) -> _T:
        died = False
        for attempt in range(_ATTEMPTS):
            progress = _Progress()
            try:
                result = await self._transact(work, write, progress)
            except DBAPIError as exc:
                undone = _code(exc) in _UNDONE
                dead = exc.connection_invalidated and not progress.committing and not died
                if attempt + 1 == _ATTEMPTS or not (undone or dead):
                    raise
                died = died or dead
            else:
                if self._troubles and write:
                    self._troubles.clear()
                    _log.warning("token store %s works again", self.name)
                return result
            await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise AssertionError("the last attempt raises")

    async def _transact(
        self, work: Callable[[AsyncConnection], Awaitable[_T]], write: bool, progress: _Progress
    ) -> _T:
        if not self._ready:
            await self._prepare()
        async with self._engine.connect() as db:
            await self._announce(db, write)
            try:
                result = await work(db)
                progress.committing = True
                await db.commit()
            except DBAPIError as exc:
                if not _is_usual(exc):
                    await db.invalidate()  # a server that has become read-only would stay so on this one
                raise
        return result

    async def _announce(self, db: AsyncConnection, write: bool) -> None:
        """SQLite wants to know before a transaction begins; the others lock rows."""
        if self.dialect == "sqlite":
            await db.execution_options(**{_WRITES: write})

    async def _prepare(self) -> None:
        async with self._preparing:
            if self._ready:
                return
            if self._file is not None:
                _make_private(self._file)
            try:
                async with self._engine.connect() as db:
                    await self._announce(db, True)
                    await prepare(db)
                    await db.commit()
            except ConfigError as exc:
                if self._was_ready:  # nobody expects a configuration to become wrong while it is used
                    raise self.unavailable(str(exc)) from exc
                raise
            self._ready = self._was_ready = True


class _Progress:
    committing = False


def _name(url: URL) -> str:
    """For people and logs: without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return f"{url.drivername}:///{url.database}"
    port = f":{url.port}" if url.port else ""
    return f"{url.drivername}://{url.host or ''}{port}/{url.database or ''}"


def _driver_options(dialect: str) -> dict[str, Any]:
    """Bounds that the server keeps too: a proxy that hangs must not hold a row for the others."""
    milliseconds = f"{_LOCK_SECONDS * 1000:.0f}"
    if dialect == "postgresql":
        settings = {
            "application_name": "consolekit",
            "lock_timeout": milliseconds,
            "statement_timeout": f"{STORE_SECONDS * 1000:.0f}",
            "idle_in_transaction_session_timeout": "5000",
        }
        return {"server_settings": settings, "timeout": STORE_SECONDS}
    if dialect == "mariadb":
        settings = {
            "innodb_lock_wait_timeout": "1",
            "max_statement_time": f"{STORE_SECONDS:g}",
            "idle_transaction_timeout": "5",
            "sql_mode": "'STRICT_ALL_TABLES'",
        }
        words = ", ".join(f"SESSION {name}={value}" for name, value in settings.items())
        return {"init_command": f"SET {words}", "connect_timeout": STORE_SECONDS}
    return {"timeout": _LOCK_SECONDS, "isolation_level": None}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # only a power failure may lose the last commits
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return


def _innermost(exc: BaseException) -> BaseException:
    """The driver's own error below SQLAlchemy's."""
    while True:
        inner = exc.orig if isinstance(exc, DBAPIError) else exc.__cause__
        if inner is None:
            return exc
        exc = inner


def _code(exc: BaseException) -> str:
    """The database's name for it: MariaDB's number, SQLSTATE, SQLite's word; empty if it has none."""
    inner = _innermost(exc)
    first = inner.args[0] if inner.args else None
    if isinstance(first, int):
        return str(first)
    named = getattr(inner, "sqlstate", None) or getattr(inner, "sqlite_errorname", None)
    return str(named or "")


def _is_usual(exc: DBAPIError) -> bool:
    """True if the connection is as good as before: undone, a lock not had, a row that is there already."""
    waited = ("55P03", "1205", "23505", "1062", "SQLITE_LOCKED", "SQLITE_CONSTRAINT_UNIQUE")
    return exc.connection_invalidated or _code(exc) in _UNDONE or _code(exc) in waited


def _why(exc: BaseException) -> str:
    inner = _innermost(exc)
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    code = _code(exc)
    return f"{type(inner).__name__} ({code})" if code else type(inner).__name__
