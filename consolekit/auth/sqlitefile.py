"""Auth: one SQLite file in one thread of its own: opened safely, every call in time, healed after trouble.

Knows sqlite3 and the file; knows no grant and no token.

- What waits to be written is written together: a transaction costs more than what is done in it.
- The file belongs to its owner alone (0600, directory 0700) from the moment it exists.
- A call whose caller has stopped waiting writes nothing: a token is not spent for nobody.
- After any error but "locked", and when another file lies at its path, the file is opened anew: SQLite
  itself would go on with the one that is gone, alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from consolekit.auth.base import STORE_SECONDS
from consolekit.core.errors import ConfigError, ConsoleKitError, Problem, StoreUnavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

APPLICATION_ID: Final = 0x434B5453
"""``CKTS`` in the file's header: by this we know our own."""

_OLDEST_SQLITE: Final = (3, 35, 0)  # for RETURNING
_BUSY_SECONDS: Final = 1.5  # under STORE_SECONDS, so that the reason is heard before the deadline
_TOGETHER: Final = 64  # calls that are written in one go; others wait for the file meanwhile
_BUSY_CODES: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class _Order:
    """One piece of work, who waits for it, and what came of it."""

    __slots__ = ("abandoned", "answer", "error", "result", "work", "write")

    def __init__(
        self, work: Callable[[sqlite3.Connection], Any], answer: asyncio.Future[Any], *, write: bool
    ) -> None:
        self.work, self.answer, self.write = work, answer, write
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """In the loop: answer, unless nobody waits any more."""
        if self.answer.done():
            return
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class _SpoiltError(Exception):
    """What one order wrote must not stay, so nothing of its transaction may."""


class SqliteFile:
    """A SQLite database with our schema.

    Args:
        path: Where it is; created if it is not there.
        version: The schema's version.
        schema: SQL statements that create it.

    Raises:
        ConfigError: it cannot be opened, is no database, another program's, or of a newer version.
        StoreUnavailable: it is locked by somebody else just now.
    """

    def __init__(self, path: Path, *, version: int, schema: tuple[str, ...]) -> None:
        self.path: Path = path.absolute()
        self._version, self._schema = version, schema
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._troubles: set[str] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._orders: deque[_Order] = deque()
        self._working = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="consolekit-sqlite")
        try:
            self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def call(self, work: Callable[[sqlite3.Connection], _T], *, write: bool = False) -> _T:
        """Run ``work`` in the file's thread; all of it is done or nothing.

        Args:
            work: Gets the connection, inside a transaction. It may run more than once; the last run counts.
            write: Whether it writes.

        Raises:
            StoreUnavailable: it could not be done in time; nothing was written.
        """
        if self._closed:
            raise StoreUnavailable("the token store is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()
        order = _Order(work, answer, write=write)
        deadline = loop.call_later(STORE_SECONDS, _too_late, answer)
        self._take_in(order)
        try:
            return await answer
        except TimeoutError as exc:
            raise self._unavailable(f"no answer within {STORE_SECONDS:g} s") from exc
        finally:
            order.abandoned = True
            deadline.cancel()

    async def aclose(self) -> None:
        """Close the file and end the thread."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown(wait=False)

    def _take_in(self, order: _Order) -> None:
        with self._lock:
            self._orders.append(order)
            idle, self._working = not self._working, True
        if idle:
            self._thread.submit(self._work_off)

    def _work_off(self) -> None:
        """In the thread: obey until no order waits."""
        while orders := self._next():
            try:
                self._obey(orders)
            except BaseException as exc:
                for order in orders:
                    order.error = exc
            for order in orders:
                try:
                    order.answer.get_loop().call_soon_threadsafe(order.settle)
                except RuntimeError:  # the loop is closed: nobody waits
                    pass

    def _next(self) -> list[_Order]:
        """What is done in one go: all that is to be written, as far as it came in a row; or one look."""
        with self._lock:
            orders = self._orders
            taken = [orders.popleft()] if orders else []
            while taken and taken[0].write and orders and orders[0].write and len(taken) < _TOGETHER:
                taken.append(orders.popleft())
            self._working = bool(taken)
        return taken

    def _obey(self, orders: Sequence[_Order]) -> None:
        """In the thread: one transaction, every kind of trouble translated."""
        try:
            self._transact(self._current(), orders)
        except _SpoiltError:
            if len(orders) > 1:  # each for itself
                for order in orders:
                    order.error = None
                    self._obey([order])
            return
        except (ConfigError, StoreUnavailable) as exc:
            self._fail(orders, str(exc), exc)
            return
        except sqlite3.Error as exc:
            if _code(exc) not in _BUSY_CODES:
                self._drop()
            self._fail(orders, _why(exc), exc)
            return
        if orders[0].write and self._troubles:  # a locked file can be read all the while: that proves nothing
            self._troubles.clear()
            _log.warning("token store %s works again", self.path)

    def _fail(self, orders: Sequence[_Order], why: str, cause: Exception) -> None:
        for order in orders:
            order.error = self._unavailable(why)
            order.error.__cause__ = cause

    def _current(self) -> sqlite3.Connection:
        """The open connection, if it is still to the file at our path; else a new one."""
        if self._connection is not None and self._identify() != self._identity:
            _log.warning("token store %s was replaced: it is opened anew", self.path)
            self._drop()
        return self._connection or self._open()

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _transact(self, connection: sqlite3.Connection, orders: Sequence[_Order]) -> None:
        connection.execute("BEGIN IMMEDIATE" if orders[0].write else "BEGIN")
        try:
            for order in orders:
                if not order.abandoned:
                    self._carry_out(order, connection)
            if any(order.abandoned for order in orders):  # perhaps only since it was carried out
                raise _SpoiltError
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back on some errors
                connection.execute("ROLLBACK")
            raise

    def _carry_out(self, order: _Order, connection: sqlite3.Connection) -> None:
        """Do its work; what it raises is its answer, as long as it wrote nothing before.

        Raises:
            _SpoiltError: it wrote, and failed.
            sqlite3.Error: the file failed, and so everybody's work.
        """
        before = connection.total_changes
        try:
            order.result = order.work(connection)
        except sqlite3.Error:
            raise
        except StoreUnavailable as exc:  # what is there cannot be read
            self._fail([order], str(exc), exc)
        except Exception as exc:
            order.error = exc
        if order.error is not None and connection.total_changes != before:
            raise _SpoiltError

    def _unavailable(self, why: str) -> StoreUnavailable:
        """The error to raise; the log gets one line for each reason of an outage, not one for each call."""
        if why not in self._troubles:
            self._troubles.add(why)
            _log.error("token store %s is unavailable: %s", self.path, why)
        return StoreUnavailable(f"token store {self.path}: {why}")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as exc:
                _log.debug("token store %s did not close cleanly: %s", self.path, _why(exc))

    def _open(self) -> sqlite3.Connection:
        try:
            self._create()
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        except (OSError, ValueError, sqlite3.Error) as exc:
            raise _wrong(f"{self.path} cannot be opened: {_why(exc)}") from exc
        try:
            self._prepare(connection)
        except sqlite3.Error as exc:
            connection.close()
            raise self._refusal(exc) from exc
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, self._identify()
        return connection

    def _create(self) -> None:
        """Make directory and file with narrow modes; leave an existing file closed.

        Opening and closing it here would drop the POSIX locks that another connection of this same
        process holds on it (sqlite.org/howtocorrupt.html, section 2.2).
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise _wrong(f"SQLite {sqlite3.sqlite_version} is too old, 3.35 is needed")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if self.path.stat().st_mode & 0o007:
                _log.warning("token store %s is open to every user of this machine: chmod 600", self.path)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _use_wal(connection, self.path)
        # A commit survives the death of any process; only a power failure may lose the last ones, and
        # with them goes every session.
        connection.execute("PRAGMA synchronous=NORMAL")
        if _marks(connection) != (APPLICATION_ID, self._version):
            self._create_schema(connection)

    def _create_schema(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        application, version = _marks(connection)  # again: another process may have been first
        if application == APPLICATION_ID and version == self._version:
            connection.execute("ROLLBACK")
            return
        if application == APPLICATION_ID:
            raise _wrong(
                f"{self.path} was written by another consolekit (schema {version}, this one knows "
                f"{self._version}): use a matching release, or name another file"
            )
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] or version:
            raise _wrong(f"{self.path} is another program's database: name another file")
        for statement in self._schema:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
        connection.execute(f"PRAGMA user_version={self._version:d}")
        connection.execute("COMMIT")

    def _refusal(self, exc: sqlite3.Error) -> ConsoleKitError:
        """Locked passes by itself; everything else wants the operator."""
        if _code(exc) in _BUSY_CODES:
            return StoreUnavailable(f"{self.path} is locked by another process: {_why(exc)}")
        if _code(exc) == sqlite3.SQLITE_NOTADB:
            return _wrong(f"{self.path} is not a SQLite database: name another file")
        return _wrong(f"{self.path} cannot be used: {_why(exc)}")


def _too_late(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Write-ahead logging: readers do not wait for writers.

    Switching a fresh file fails at once, busy timeout or not, if another process does the same.
    """
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as exc:
            if _code(exc) not in _BUSY_CODES or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise _wrong(f"{path} is on a file system without shared memory (NFS?): use a local one")


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]


def _wrong(message: str) -> ConfigError:
    return ConfigError([Problem("tokens.path", message)])


def _code(exc: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if the error is Python's own."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def _why(exc: Exception) -> str:
    """What SQLite or the system says; its texts name tables and files, never a value."""
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    name = getattr(exc, "sqlite_errorname", type(exc).__name__)
    return f"{exc} ({name})"
