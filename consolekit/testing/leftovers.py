"""Testing: what somebody has left over: tasks, threads, descriptors. Knows nothing of ours."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import attrs

_DESCRIPTORS = next((path for path in map(Path, ("/proc/self/fd", "/dev/fd")) if path.is_dir()), None)
_POLL_SECONDS = 0.01
_Found = TypeVar("_Found")


@attrs.frozen(kw_only=True)
class Inventory:
    """What the process has at one moment.

    Attributes:
        threads: Its threads.
        descriptors: Its open descriptors, each with what it leads to where the system tells.
    """

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]

    @classmethod
    def now(cls) -> Self:
        """As it is now, without what only waits for the garbage collector."""
        gc.collect()
        return cls(threads=frozenset(threading.enumerate()), descriptors=frozenset(_descriptors()))

    def new_threads(self, seconds: float) -> list[str]:
        """Names of threads that are still there, that long after, and were not here."""
        return _patiently(lambda: sorted(t.name for t in set(threading.enumerate()) - self.threads), seconds)

    def new_descriptors(self, seconds: float) -> list[str]:
        """Descriptors that are still open, that long after, and were not here: number and where to."""
        return _patiently(
            lambda: [f"{n} ({to})" for n, to in sorted(_descriptors() - self.descriptors)], seconds
        )


def other_tasks() -> list[str]:
    """What the running loop's tasks do, but for the present one."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return sorted(getattr(task.get_coro(), "__qualname__", task.get_name()) for task in tasks)


def _patiently(look: Callable[[], list[_Found]], seconds: float) -> list[_Found]:
    """What is found until nothing is, at most that long: what other threads close, nobody tells."""
    end = time.monotonic() + seconds
    gc.collect()
    while (found := look()) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return found


def _descriptors() -> set[tuple[int, str]]:
    found = set()
    for name in os.listdir(_DESCRIPTORS) if _DESCRIPTORS else ():
        try:
            found.add((int(name), os.readlink(f"{_DESCRIPTORS}/{name}")))
        except OSError:  # the listing's own, closed by now
            continue
    return found
