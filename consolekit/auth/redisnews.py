"""Auth: one subscription in Redis for everybody who waits for news. Knows no grant and no order.

It tells that something has come, never what: who waits reads for himself. So nothing is missed between two
subscriptions: each confirmed one counts as news too. A lost subscription is an error for everybody who waits.
"""

from __future__ import annotations

import asyncio
from typing import Final

from redis.asyncio.connection import AbstractConnection

from consolekit.auth.redislink import CALL_SECONDS, RedisLink
from consolekit.core.errors import StoreUnavailable

QUIET_SECONDS: Final = 1.5
"""How long the channel may be silent before it is asked, and after that before it counts as lost."""


class RedisNews:
    """Listens on one channel while somebody cares.

    Args:
        link: Where connections come from.
        channel: The channel's name.
    """

    def __init__(self, link: RedisLink, channel: str) -> None:
        self._link, self._channel = link, channel
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Event()
        self._heard = 0
        self._listening = False
        self._lost: str | None = None

    async def heard(self) -> int:
        """How often there was news so far; comes back once the channel is listened to.

        Raises:
            StoreUnavailable: it cannot be listened to.
        """
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done():
            self._lost = None
            self._task = loop.create_task(self._listen(), name="redis news")
        until = loop.time() + CALL_SECONDS
        while not self._listening:
            if loop.time() >= until:
                raise self._link.unavailable("it does not confirm a subscription")
            await self._next(until)
        return self._heard

    async def wait(self, seen: int, until: float) -> None:
        """Wait until there is more than was seen.

        Args:
            seen: What ``heard`` gave.
            until: Until when at most, in the loop's time.

        Raises:
            StoreUnavailable: the channel was lost meanwhile.
        """
        while self._heard == seen and asyncio.get_running_loop().time() < until:
            await self._next(until)

    async def aclose(self) -> None:
        """Stop listening; whoever waits is told."""
        self._lost = "the token store is closed"
        self._wake()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _next(self, until: float) -> None:
        """The next thing that happens on the channel, if it does in time.

        Raises:
            StoreUnavailable: it is lost.
        """
        if self._lost is None:
            try:
                async with asyncio.timeout_at(until):
                    await self._turn.wait()
            except TimeoutError:
                return
        if self._lost is not None:
            raise StoreUnavailable(self._lost)

    async def _listen(self) -> None:
        """In a task: until the channel is lost, or nobody wants it any more."""
        try:
            async with self._link.answering():
                connection = await self._link.connect()
            try:
                await self._follow(connection)
            finally:
                await connection.disconnect(nowait=True)
        except StoreUnavailable as exc:
            self._lost = str(exc)
        finally:
            self._listening = False
            self._wake()

    async def _follow(self, connection: AbstractConnection) -> None:
        async with self._link.answering():
            await connection.send_command("SUBSCRIBE", self._channel)
        asked = False
        while True:
            async with self._link.answering():
                answer = await connection.read_response(timeout=QUIET_SECONDS, disconnect_on_error=False)
                if answer is None:
                    if asked:
                        raise self._link.unavailable("the channel of its news does not answer")
                    await connection.send_command("PING")
            asked = answer is None
            if answer and answer[0] in ("subscribe", "message"):
                self._heard += 1
                self._listening = True
                self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
