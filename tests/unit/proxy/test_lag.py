"""How late timers come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from consolekit.proxy import lag as module
from consolekit.proxy.lag import LoopLag


class LateLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps when a timer is set: as if something had held it up."""

    def __init__(self) -> None:
        self.late = 0.0
        super().__init__()

    def time(self) -> float:
        return super().time() + self.late

    def call_later(self, delay: float, callback: Any, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        handle = super().call_later(delay, callback, *args, **kwargs)
        self.late += 3.0
        return handle


def test_a_loop_that_was_held_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLE_SECONDS", 0.001)
    seen: list[float] = []

    async def sample() -> None:
        enough = asyncio.Event()

        def observe(seconds: float) -> None:
            seen.append(seconds)
            if len(seen) == 3:
                enough.set()

        lag = LoopLag(observe)
        lag.start()
        await enough.wait()
        lag.stop()
        lag.stop()  # again: nothing

    with asyncio.Runner(loop_factory=LateLoop) as runner:
        runner.run(sample())
    assert len(seen) == 3
    assert min(seen) >= 2.9


async def test_stopping_what_has_not_begun() -> None:
    LoopLag(lambda seconds: None).stop()
