"""Proxy: one timer for all sessions. Knows nothing of what its items do with a tick."""

from __future__ import annotations

import asyncio
from typing import Protocol

from consolekit.core.types import Clock

_SPOKES = 32  # so that of thousands of items few are turned at once: bytes that come meanwhile wait


class Ticking(Protocol):
    """What a wheel turns."""

    def on_tick(self, now: float, /) -> None:
        """A tick has passed; ``now`` is the clock's monotonic time."""


class TimerWheel:
    """Calls each of its items once a tick, a few of them at a time. Runs only while it has items.

    Args:
        loop: Where to run.
        clock: Whose monotonic time the items get.
        tick: Seconds between two calls of one item.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, tick: float = 1.0) -> None:
        self._loop, self._clock, self._step = loop, clock, tick / _SPOKES
        self._spokes: tuple[set[Ticking], ...] = tuple(set() for _ in range(_SPOKES))
        self._spoke_of: dict[Ticking, set[Ticking]] = {}
        self._at = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._spoke_of)

    def now(self) -> float:
        """The clock's monotonic time, as the items get it."""
        return self._clock.monotonic()

    def add(self, item: Ticking) -> None:
        """Tick the item from now on; adding it again changes nothing."""
        self.discard(item)
        spoke = self._spoke_of[item] = min(self._spokes, key=len)
        spoke.add(item)
        if self._timer is None:
            self._timer = self._loop.call_later(self._step, self.turn)

    def discard(self, item: Ticking) -> None:
        """Leave the item alone; one that is not there is no error."""
        spoke = self._spoke_of.pop(item, None)
        if spoke is not None:
            spoke.discard(item)

    def turn(self) -> None:
        """Turn by one spoke. The wheel does this itself; tests may."""
        if self._timer is not None:
            self._timer.cancel()
        now = self.now()
        self._at = (self._at + 1) % _SPOKES
        for item in tuple(self._spokes[self._at]):
            try:
                item.on_tick(now)
            except Exception as exc:  # one item's failure is not the others'
                self.discard(item)
                self._loop.call_exception_handler({"message": "a tick failed", "exception": exc})
        self._timer = self._loop.call_later(self._step, self.turn) if len(self) else None
