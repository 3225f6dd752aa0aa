"""Auth: one SQLite file in one thread of its own: opened safely, every call in time, healed after trouble.

Knows sqlite3 and the file; knows no grant and no token.

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
import time
from collections.abc import Callable
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
_BUSY_CODES: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class _Order:
    """One piece of work, and whether anybody still waits for it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any], *, write: bool) -> None:
        self.work = work
        self.write = write
        self.abandoned = False


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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="consolekit-sqlite")
        try:
            self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def call(self, work: Callable[[sqlite3.Connection], _T], *, write: bool = False) -> _T:
        """Run ``work`` in a transaction of its own, in the file's thread.

        Raises:
            StoreUnavailable: it could not be done in time; nothing was written.
        """
        if self._closed:
            raise StoreUnavailable("the token store is closed")
        loop = asyncio.get_running_loop()
        order, answer = _Order(work, write=write), loop.create_future()
        deadline = loop.call_later(STORE_SECONDS, _settle, answer, None, TimeoutError())
        self._thread.submit(self._answer, order, answer)
        try:
            result: _T = await answer
        except TimeoutError as exc:
            raise self._unavailable(f"no answer within {STORE_SECONDS:g} s") from exc
        finally:
            order.abandoned = True
            deadline.cancel()
        return result

    async def aclose(self) -> None:
        """Close the file and end the thread."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown(wait=False)

    def _answer(self, order: _Order, answer: asyncio.Future[Any]) -> None:
        """In the thread: obey, tell the loop. Half of what ``run_in_executor`` costs, twice a session."""
        result, error = None, None
        try:
            result = self._obey(order)
        except BaseException as exc:
            error = exc
        try:
            answer.get_loop().call_soon_threadsafe(_settle, answer, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            pass

    def _obey(self, order: _Order) -> Any:
        """In the thread: one transaction, every kind of trouble translated."""
        try:
            result = self._transact(self._current(), order)
        except (ConfigError, StoreUnavailable) as exc:
            raise self._unavailable(str(exc)) from exc
        except sqlite3.Error as exc:
            if _code(exc) not in _BUSY_CODES:
                self._drop()
            raise self._unavailable(_why(exc)) from exc
        if order.write and self._troubles:  # a locked file can be read all the while: that proves nothing
            self._troubles.clear()
            _log.warning("token store %s works again", self.path)
        return result

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

    @staticmethod
    def _transact(connection: sqlite3.Connection, order: _Order) -> Any:
        connection.execute("BEGIN IMMEDIATE" if order.write else "BEGIN")
        try:
            result = None if order.abandoned else order.work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back on some errors
                connection.execute("ROLLBACK")
            raise
        return result

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


def _settle(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Answer, if nobody was told before that there is none."""
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


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
