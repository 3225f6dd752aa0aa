"""Kit: the kit for code that waits: Django's views, scripts, anything with threads and no event loop.

Holds no logic of its own: one thread runs one event loop with one ``ConsoleKit`` in it. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from consolekit.auth.life import GrantLife
from consolekit.core.errors import ConsoleUnavailable
from consolekit.core.types import Caller, ConsoleKey, Scope, Secret, SessionInfo
from consolekit.kit.kit import ConsoleKit
from consolekit.kit.links import ConsoleLink, Offer

T = TypeVar("T")
SECONDS: Final = 60.0


class BlockingConsoleKit:
    """``ConsoleKit`` whose methods block; from any number of threads.

    Its thread starts with the first call, and the kit is made there. So a process that forks its workers may
    make this object before it forks, as a Django module does; used before *and* after a fork it is refused,
    since threads do not survive one. Calling it from a running event loop is refused too: await a
    ``ConsoleKit`` there.

    Args:
        make: Makes the kit; called once, in the thread's running loop. Where the proxy is another process,
            the kit's store must be one that it shares (SQLite, SQL, Redis).
        timeout: Seconds that a call may take in all; a kit's own deadlines are shorter, unless many providers
            are slow in turn.
    """

    def __init__(self, make: Callable[[], ConsoleKit], *, timeout: float = SECONDS) -> None:
        self._make, self._timeout = make, timeout
        self._lock = threading.Lock()
        self._thread: _KitThread | None = None
        self._pid: int | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def create(
        self, server_id: object, data: Mapping[str, Any], *, caller: Caller, subject: str | None = None
    ) -> ConsoleLink:
        """Make a link to a server's console; see ``ConsoleKit.create``."""
        return self.run(lambda kit: kit.create(server_id, data, caller=caller, subject=subject))

    def connect_info(self, server_id: object, key: ConsoleKey, *, caller: Caller) -> Mapping[str, object]:
        """What a program needs to open a console by itself; see ``ConsoleKit.connect_info``."""
        return self.run(lambda kit: kit.connect_info(server_id, key, caller=caller))

    def offers(self, server_id: object, *, caller: Caller) -> list[Offer]:
        """Which pairs a server offers now; see ``ConsoleKit.offers``."""
        return self.run(lambda kit: kit.offers(server_id, caller=caller))

    def sessions(self, *, caller: Caller, server_id: str | None = None) -> list[SessionInfo]:
        """Live sessions that the caller may see; see ``ConsoleKit.sessions``."""
        return self.run(lambda kit: kit.sessions(caller=caller, server_id=server_id))

    def revoke(self, grant_id: str, *, caller: Caller) -> None:
        """Take a grant back; see ``ConsoleKit.revoke``."""
        self.run(lambda kit: kit.revoke(grant_id, caller=caller))

    def kill(self, session_id: str, *, caller: Caller) -> None:
        """End one live session; see ``ConsoleKit.kill``."""
        self.run(lambda kit: kit.kill(session_id, caller=caller))

    def revoke_all(self, scope: Scope, value: str) -> int:
        """Take back everything of a server or a subject; see ``ConsoleKit.revoke_all``."""
        return self.run(lambda kit: kit.revoke_all(scope, value))

    def inspect(self, token: Secret) -> GrantLife:
        """What a token stands for; see ``ConsoleKit.inspect``."""
        return self.run(lambda kit: kit.inspect(token))

    def run(self, work: Callable[[ConsoleKit], Coroutine[Any, Any, T]]) -> T:
        """Do something else with the kit: ``run(lambda kit: kit.store.grants())``.

        Args:
            work: Gives the coroutine; called in the kit's thread.

        Raises:
            RuntimeError: it is closed, this is a running event loop's thread, or the process was forked since
                the first call.
            ConsoleUnavailable: it took too long.
            ConsoleKitError: whatever the kit raised.
        """
        if _in_loop():
            raise RuntimeError("BlockingConsoleKit would stop this event loop: await a ConsoleKit instead")
        return self._started().do(work, self._timeout)

    def _started(self) -> _KitThread:
        if self._pid not in (None, os.getpid()):  # before the lock, which somebody may have held then
            raise RuntimeError(
                "this BlockingConsoleKit was used before the process was forked: make another in the worker"
            )
        with self._lock:
            if self._closed:
                raise RuntimeError("this BlockingConsoleKit is closed")
            if self._thread is None:
                self._pid = os.getpid()
                self._thread = _KitThread(self._make)
                atexit.register(self.close)
            return self._thread

    def close(self) -> None:
        """End what runs, close the kit and its thread. Calling it again does nothing."""
        if self._pid not in (None, os.getpid()):  # the parent's to close
            return
        atexit.unregister(self.close)
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()


class _KitThread:
    """A thread with a loop with a kit.

    Raises:
        BaseException: whatever making the kit raised; no thread is left then.
    """

    def __init__(self, make: Callable[[], ConsoleKit]) -> None:
        self._make = make
        self._made: concurrent.futures.Future[ConsoleKit] = concurrent.futures.Future()
        # a daemon: a program that forgot to close still ends, and atexit closes it then
        self._thread = threading.Thread(target=self._serve, name="consolekit", daemon=True)
        self._thread.start()
        try:
            self._kit = self._made.result()
        except BaseException:
            self._thread.join()
            raise

    def _serve(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            kit = self._make()
        except BaseException as exc:
            self._made.set_exception(exc)
            return
        self._made.set_result(kit)
        try:
            await self._over.wait()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await kit.aclose()

    def do(self, work: Callable[[ConsoleKit], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Run it in the loop; wait here."""

        async def doing() -> T:
            async with asyncio.timeout(seconds):
                return await work(self._kit)

        coroutine = doing()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise RuntimeError("this BlockingConsoleKit is closed") from None
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RuntimeError("this BlockingConsoleKit was closed meanwhile") from None
        except TimeoutError:
            raise ConsoleUnavailable(f"no answer within {seconds:g} s") from None
        except BaseException:  # such as Ctrl-C while waiting
            future.cancel()
            raise

    def end(self) -> None:
        """End the loop; returns when the kit is closed."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
