"""Proxy: how late the event loop runs what is due: what every session on it waits for.

One timer; knows no session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_SAMPLE_SECONDS = 0.5


class LoopLag:
    """Samples the running loop twice a second.

    Args:
        observe: Gets the seconds by which a timer came late.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; needs the running loop."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_SAMPLE_SECONDS, self._sample, loop, loop.time() + _SAMPLE_SECONDS)

    def stop(self) -> None:
        """End; one that has not begun is no error."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._observe(max(0.0, loop.time() - due))
        self.start()
