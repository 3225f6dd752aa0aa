"""Auth: how a follower of the ``sql`` store learns that there may be news. Knows nothing of what the news is.

PostgreSQL tells (LISTEN/NOTIFY, on a connection of its own); the others are asked four times a second. What
is told is only a reason to look: whoever missed it looks every few seconds all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from consolekit.auth.sqlpool import SqlPool

CHANNEL: Final = "consolekit_revocations"
_POLL_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 2.0


class News(Protocol):
    """What makes a follower look."""

    async def mark(self) -> int:
        """Where it stands before a look; what comes after it ends ``wait``.

        Raises:
            StoreUnavailable: nothing would be heard.
        """

    async def wait(self, mark: int, seconds: float) -> None:
        """Until it is time to look again; at most that long.

        Raises:
            StoreUnavailable: the channel was lost.
        """

    def missed(self, mark: int) -> None:
        """There was news after ``mark``: should it have been heard?"""

    async def aclose(self) -> None:
        """Give back the connection."""


class Polled:
    """Asks four times a second."""

    async def mark(self) -> int:
        """Nothing to mark."""
        return 0

    async def wait(self, mark: int, seconds: float) -> None:
        """A quarter of a second."""
        await asyncio.sleep(min(seconds, _POLL_SECONDS))

    def missed(self, mark: int) -> None:
        """Nothing is ever told."""

    async def aclose(self) -> None:
        """Nothing to give back."""


class Notified:
    """Listens; one connection for all followers of a store.

    Args:
        pool: The database.
    """

    def __init__(self, pool: SqlPool) -> None:
        self._pool = pool
        self._engine: AsyncEngine = pool.own_engine()
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        self._connecting = asyncio.Lock()
        self._told = asyncio.Event()
        self._heard = 0
        self._lost = False

    async def mark(self) -> int:
        """How much was heard so far; listens from now on at the latest.

        Raises:
            StoreUnavailable: the database cannot be listened to.
        """
        if self._connection is None or self._lost:
            await self._pool.in_time(self._listen())
        return self._heard

    async def wait(self, mark: int, seconds: float) -> None:
        """Until something is heard; a look every two seconds finds what was not.

        Raises:
            StoreUnavailable: the connection was lost.
        """
        told = self._told
        if self._heard == mark and not self._lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, _LOOK_SECONDS)):
                    await told.wait()
        if self._lost:
            raise self._pool.unavailable("the connection that hears of revocations was lost")

    def missed(self, mark: int) -> None:
        """Nothing heard, and yet there is news: the connection is dead without knowing it."""
        if self._heard == mark:
            self._lose()

    async def aclose(self) -> None:
        """Close the connection; a database that hangs is not waited for."""
        self._lose()
        await self._drop()

    async def _listen(self) -> None:
        async with self._connecting:
            if self._connection is not None and not self._lost:
                return
            await self._drop()
            connection = await self._engine.connect()
            try:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.add_listener(CHANNEL, self._hear)
                driver.add_termination_listener(self._end)
            except BaseException:
                await connection.invalidate()
                await connection.close()
                raise
            self._connection, self._driver, self._lost = connection, driver, False

    def _hear(self, *_: object) -> None:
        self._heard += 1
        told, self._told = self._told, asyncio.Event()
        told.set()

    def _end(self, driver: object) -> None:
        if driver is self._driver:
            self._lose()

    def _lose(self) -> None:
        self._lost = True
        self._told.set()
        self._told = asyncio.Event()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        driver, self._driver = self._driver, None
        if connection is not None:
            driver.terminate()
            with contextlib.suppress(Exception):  # it is closed already, which is what was wanted
                await connection.close()
