"""Testing: peers that live on an event loop of their own, in a thread. Knows asyncio and nothing of ours.

So what is tested may block, or be synchronous, and its peers answer all the same.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Background:
    """An event loop in a thread, until the block ends.

    Usage::

        with Background() as background:
            screen = background.enter(RfbServer())
            print(screen.address)
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends: asyncio.Event | None = None
        self._runs = threading.Event()
        self._stays: list[tuple[asyncio.Event, concurrent.futures.Future[None]]] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="peers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._runs.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._ends is not None
        try:
            for leave, stay in reversed(self._stays):
                self._loop.call_soon_threadsafe(leave.set)
                stay.result()
        finally:
            self._loop.call_soon_threadsafe(self._ends.set)
            self._thread.join()

    def enter(self, peer: AbstractAsyncContextManager[T]) -> T:
        """Enter an asynchronous context; it is left when the block ends, in the same task, last in first out.

        Args:
            peer: Such as ``RfbServer()``.

        Returns:
            What its ``__aenter__`` gives.
        """
        assert self._loop is not None, "first enter the Background itself"
        ready: concurrent.futures.Future[T] = concurrent.futures.Future()
        leave = asyncio.Event()
        stay = asyncio.run_coroutine_threadsafe(_stay(peer, ready, leave), self._loop)
        entered = ready.result()
        self._stays.append((leave, stay))
        return entered

    async def _serve(self) -> None:
        self._loop, self._ends = asyncio.get_running_loop(), asyncio.Event()
        self._runs.set()
        await self._ends.wait()


async def _stay(
    peer: AbstractAsyncContextManager[T],
    ready: concurrent.futures.Future[T],
    leave: asyncio.Event,
) -> None:
    try:
        async with peer as entered:
            ready.set_result(entered)
            await leave.wait()
    except BaseException as exc:
        if ready.done():
            raise
        ready.set_exception(exc)
