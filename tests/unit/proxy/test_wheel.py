"""The wheel: everybody once a tick, nobody twice, and no timer when there is nobody."""

from __future__ import annotations

import asyncio

from consolekit.proxy.wheel import TimerWheel
from consolekit.testing.clock import ManualClock

SPOKES = 32


class Item:
    def __init__(self, fault: Exception | None = None) -> None:
        self.ticks: list[float] = []
        self.fault = fault

    def on_tick(self, now: float) -> None:
        self.ticks.append(now)
        if self.fault:
            raise self.fault


def wheel_of(*items: Item) -> tuple[TimerWheel, ManualClock]:
    clock = ManualClock()
    wheel = TimerWheel(asyncio.get_running_loop(), clock, tick=3600.0)
    for item in items:
        wheel.add(item)
    return wheel, clock


async def test_every_item_once_a_round():
    items = [Item() for _ in range(20)]
    wheel, clock = wheel_of(*items)
    for _ in range(3):
        for _ in range(SPOKES):
            clock.advance(1)
            wheel.turn()
    assert {len(item.ticks) for item in items} == {3}
    assert all(
        later - earlier == SPOKES
        for item in items
        for earlier, later in zip(item.ticks, item.ticks[1:], strict=False)
    )


async def test_no_turn_touches_everybody():
    items = [Item() for _ in range(SPOKES * 5)]
    wheel, _ = wheel_of(*items)
    for turns in range(1, SPOKES + 1):
        wheel.turn()
        assert sum(len(item.ticks) for item in items) == 5 * turns


async def test_adding_twice_is_adding_once():
    item = Item()
    wheel, _ = wheel_of(item, item)
    assert len(wheel) == 1
    for _ in range(SPOKES):
        wheel.turn()
    assert len(item.ticks) == 1


async def test_a_discarded_item_is_left_alone():
    item = Item()
    wheel, _ = wheel_of(item)
    wheel.discard(item)
    wheel.discard(item)
    for _ in range(SPOKES):
        wheel.turn()
    assert item.ticks == []
    assert len(wheel) == 0


async def test_runs_by_itself_and_only_while_it_has_items():
    ticked = asyncio.Event()
    wheel = TimerWheel(asyncio.get_running_loop(), ManualClock(), tick=0.001)

    class Once:
        def on_tick(self, now: float) -> None:
            wheel.discard(self)
            ticked.set()

    for _ in range(2):
        ticked.clear()
        wheel.add(Once())
        async with asyncio.timeout(10):
            await ticked.wait()
        assert wheel._timer is None or len(wheel) == 0


async def test_the_failure_of_one_is_not_the_others():
    reported: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    bad, good = Item(RuntimeError("no")), Item()
    wheel, _ = wheel_of(bad, good)
    for _ in range(SPOKES * 2):
        wheel.turn()
    assert len(good.ticks) == 2
    assert len(bad.ticks) == 1
    assert [context["exception"] for context in reported] == [bad.fault]
