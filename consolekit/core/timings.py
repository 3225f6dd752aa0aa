"""Core: how long calls to others take, told to whoever wants to know. Knows no caller and no metrics."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from consolekit.core.errors import ConsoleKitError
from consolekit.core.types import Clock

_FAULT = 500


class Step(enum.Enum):
    """What took its time; the labels that a ``Timing`` of it has stand behind each."""

    STORE = "store"  # operation
    VALIDATOR = "validator"  # its name
    PROVIDER = "provider"  # its configured name, operation
    CONNECT = "connect"  # protocol, type
    HANDSHAKE = "handshake"  # protocol, type


@attrs.frozen
class Timing:
    """One call that is over.

    Attributes:
        step: Of which kind.
        labels: Which one; few different ones, and never a server, a person or an address.
        seconds: How long it took.
        failed: Whether the other side is to blame: it was away, late, or broke its contract. An answer that
            is a refusal is an answer.
    """

    step: Step
    labels: tuple[str, ...]
    seconds: float
    failed: bool


class Timings:
    """Measures calls; without a listener nobody hears of it.

    Args:
        clock: Where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: list[Callable[[Timing], None]] = []

    def listen(self, listener: Callable[[Timing], None]) -> None:
        """Tell this one of every call from now on; it must be quick and must not raise."""
        self._listeners.append(listener)

    @contextmanager
    def measure(self, step: Step, *labels: str) -> Iterator[None]:
        """Measure what is done inside; not a call that its caller gave up: nobody knows its end."""
        begun, failed = self._clock.monotonic(), False
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            failed = not isinstance(exc, ConsoleKitError) or exc.status >= _FAULT
            self._tell(Timing(step, labels, self._clock.monotonic() - begun, failed))
            raise
        self._tell(Timing(step, labels, self._clock.monotonic() - begun, failed))

    def _tell(self, timing: Timing) -> None:
        for listener in self._listeners:
            listener(timing)
