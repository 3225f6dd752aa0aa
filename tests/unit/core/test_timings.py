"""What is measured, and who is to blame."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping

import pytest

from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.timings import LABELS, Step, Timing, Timings
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


class Around:
    """Goes around steps and notes it."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    @contextlib.contextmanager
    def __call__(self, name: str, labels: Mapping[str, str]) -> Iterator[None]:
        self.seen.append((name, dict(labels)))
        try:
            yield
        except BaseException as exc:
            self.seen.append(exc)
            raise
        finally:
            self.seen.append("left")


def test_what_goes_around_sees_the_labels_by_name_and_the_order(rig):
    around = rig.timings.around = Around()
    with rig.timings.step("create", grant_id="g"):
        rig.call(1.0)
        around.seen.append("more")
    store = ("store", {"operation": "take"})
    assert around.seen == [("create", {"grant_id": "g"}), store, "left", "more", "left"]
    assert len(rig.told) == 1


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), asyncio.CancelledError()], ids=repr)
def test_what_goes_around_sees_the_exception_that_passes(rig, fault):
    around = rig.timings.around = Around()
    with pytest.raises(type(fault)):
        rig.call(1.0, fault)
    assert around.seen[1:] == [fault, "left"]


def test_every_step_says_what_its_labels_mean():
    assert set(LABELS) == set(Step)
