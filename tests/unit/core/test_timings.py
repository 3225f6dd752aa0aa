"""What is measured, and who is to blame."""

from __future__ import annotations

import asyncio

import pytest

from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.timings import Step, Timing, Timings
from consolekit.testing.clock import ManualClock


class Rig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timings = Timings(self.clock)
        self.told: list[Timing] = []
        self.timings.listen(self.told.append)

    def call(self, seconds: float, fault: BaseException | None = None) -> None:
        with self.timings.measure(Step.STORE, "take"):
            self.clock.advance(seconds)
            if fault is not None:
                raise fault


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_time_of_a_call(rig):
    rig.call(1.5)
    assert rig.told == [Timing(Step.STORE, ("take",), 1.5, False)]


@pytest.mark.parametrize(
    ("fault", "failed"),
    [(TokenRefused("used"), False), (StoreUnavailable("away"), True), (KeyError("a bug"), True)],
    ids=["a refusal is an answer", "away", "a broken contract"],
)
def test_a_call_that_raises(rig, fault, failed):
    with pytest.raises(type(fault)):
        rig.call(0.25, fault)
    assert rig.told == [Timing(Step.STORE, ("take",), 0.25, failed)]


def test_a_call_that_was_given_up_is_not_counted(rig):
    with pytest.raises(asyncio.CancelledError):
        rig.call(0.25, asyncio.CancelledError())
    assert rig.told == []


def test_nobody_listens():
    with Timings(ManualClock()).measure(Step.CONNECT, "vnc", "novnc"):
        pass


def test_everyone_who_listens_is_told(rig):
    more: list[Timing] = []
    rig.timings.listen(more.append)
    rig.call(1.0)
    assert rig.told == more
