"""Testing: a clock that moves only when told. Knows nothing but ``core.types.Clock``."""

from __future__ import annotations


class ManualClock:
    """A ``Clock`` whose time the test owns.

    Args:
        now: Epoch seconds at the start.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        """Wall clock, seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks.

        Raises:
            ValueError: time does not go back.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += seconds
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, as NTP or an operator does; the monotonic one stays."""
        self._now -= seconds
