"""Providers, vSphere: blocking calls in a few threads, each with a deadline that ends it.

Knows threads and sockets' shutdown; knows nothing of what is called. A thread never outlives its caller's
patience by more than a name lookup: the caller who gives up breaks the connection under the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from consolekit.core.errors import HypervisorTimeout, HypervisorUnavailable
from consolekit.core.types import Clock

T = TypeVar("T")


class Call:
    """One blocking call: how long it may still take, and how to break it from another thread."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._deadline = clock.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._abandoned = False

    @property
    def abandoned(self) -> bool:
        """True when nobody waits for the call any more."""
        return self._abandoned

    def remaining(self) -> float:
        """Seconds that are left; for socket timeouts.

        Raises:
            HypervisorTimeout: none are.
        """
        left = self._deadline - self._clock.monotonic()
        if self._abandoned or left <= 0:
            raise HypervisorTimeout("the call's deadline has passed")
        return left

    def hold(self, sock: socket.socket | None) -> None:
        """Name the socket that the call waits on from now; None when it waits on none.

        Raises:
            HypervisorTimeout: nobody waits for the call any more.
        """
        with self._lock:
            self._socket = sock
            if self._abandoned and sock is not None:
                raise HypervisorTimeout("the call was abandoned")

    def abandon(self) -> None:
        """End the call from outside: its socket is shut down, so that whatever waits on it ends."""
        with self._lock:
            self._abandoned = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # not SSLSocket.shutdown: that drops the TLS object under the thread that reads with it
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class CallPool:
    """A few threads for blocking calls; what waits for a thread waits on the event loop.

    Args:
        workers: How many calls run at a time.
        clock: For deadlines.
        name: What the threads are called.
    """

    def __init__(self, workers: int, *, clock: Clock, name: str) -> None:
        self._clock = clock
        self._slots = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=f"vsphere-{name}")
        self._running: dict[asyncio.Future[Any], Call] = {}
        self._closed = False

    async def run(self, work: Callable[[Call], T], seconds: float) -> T:
        """Run in a thread; cancelling the caller ends the call too.

        Args:
            work: What to run; it asks its ``Call`` for the time that is left.
            seconds: The longest it may take, waiting for a free thread included.

        Raises:
            HypervisorTimeout: it took longer.
            HypervisorUnavailable: the pool is closed.
        """
        call = Call(seconds, self._clock)
        future: asyncio.Future[T] | None = None
        try:
            async with asyncio.timeout(seconds) as deadline:
                await self._slots.acquire()
                future = self._start(work, call)
                return await asyncio.shield(future)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise HypervisorTimeout(f"no answer within {seconds:g} s") from None
        finally:
            if future is not None and not future.done():
                call.abandon()

    def _start(self, work: Callable[[Call], T], call: Call) -> asyncio.Future[T]:
        if self._closed:
            self._slots.release()
            raise HypervisorUnavailable("this session is closed")
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, call)
        self._running[future] = call
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: asyncio.Future[Any]) -> None:
        """A thread is free: only now, not when its caller has given up."""
        del self._running[future]
        self._slots.release()
        if not future.cancelled():
            future.exception()  # seen: a caller that gave up does not ask

    def abandon(self) -> None:
        """Abandon what runs."""
        for call in self._running.values():
            call.abandon()

    async def aclose(self) -> None:
        """Abandon what runs, wait for its threads, take no more."""
        self._closed = True
        self.abandon()
        if self._running:
            await asyncio.wait(list(self._running), timeout=1.0)
        self._threads.shutdown(wait=False)
