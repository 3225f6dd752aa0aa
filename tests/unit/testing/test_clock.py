import pytest

from consolekit.testing import ManualClock


def test_time_moves_only_when_told():
    clock = ManualClock(100.0)
    before = clock.monotonic()
    assert (clock.now(), clock.now()) == (100.0, 100.0)
    clock.advance(2.5)
    assert clock.now() == 102.5
    assert clock.monotonic() == before + 2.5


def test_the_wall_clock_alone_can_be_set_back():
    clock = ManualClock(100.0)
    before = clock.monotonic()
    clock.set_back(60)
    assert (clock.now(), clock.monotonic()) == (40.0, before)


def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)
