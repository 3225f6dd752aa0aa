"""Core: how long calls to others take, told to whoever wants to know. Knows no caller and no metrics.

Two kinds of listeners: some are told of each call when it is over, others go around it, as traces do.
"""

from __future__ import annotations

import asyncio
import enum
import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Final

import attrs

from consolekit.core.errors import ConsoleKitError
from consolekit.core.types import Clock

_FAULT = 500

TRACEPARENT: ContextVar[str] = ContextVar("traceparent", default="")
"""The W3C Trace Context that the caller of the API sent with the request that is being answered."""


class Step(enum.Enum):
    """What took its time."""

    STORE = "store"
    VALIDATOR = "validator"
    PROVIDER = "provider"
    CONNECT = "connect"
    HANDSHAKE = "handshake"

    def __hash__(self) -> int:
        """By identity: each is there once. Enum's own asks for the name, by three calls."""
        return id(self)


LABELS: Final[Mapping[Step, tuple[str, ...]]] = {
    Step.STORE: ("operation",),
    Step.VALIDATOR: ("validator",),
    Step.PROVIDER: ("provider", "operation"),
    Step.CONNECT: ("protocol", "type"),
    Step.HANDSHAKE: ("protocol", "type"),
}
"""What the labels of each step's calls mean."""

Around = Callable[[str, Mapping[str, str]], AbstractContextManager[object] | None]
"""Gets a step's name and labels, gives what is entered before it and left after it, if anything."""


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

    Attributes:
        around: Goes around every step; it must be quick and must not raise.
    """

    def __init__(self, clock: Clock) -> None:
        self.monotonic: Callable[[], float] = clock.monotonic
        self.around: Around = _nobody
        self._listeners: list[Callable[[Timing], None]] = []

    def listen(self, listener: Callable[[Timing], None]) -> None:
        """Tell this one of every call from now on; it must be quick and must not raise."""
        self._listeners.append(listener)

    def step(self, name: str, **labels: str) -> AbstractContextManager[object]:
        """What is done inside is not measured, but ``around`` goes around it, and around the calls in it."""
        return self.around(name, labels) or nullcontext()

    def measure(self, step: Step, *labels: str) -> AbstractContextManager[None]:
        """Measure what is done inside; not a call that its caller gave up: nobody knows its end."""
        return _Measuring(self, step, labels)

    def tell(self, timing: Timing) -> None:
        """A call is over."""
        for listener in self._listeners:
            listener(timing)


def _nobody(name: str, labels: Mapping[str, str]) -> None:
    """Goes around nothing."""


@functools.lru_cache(maxsize=1024)
def _named(step: Step, labels: tuple[str, ...]) -> Mapping[str, str]:
    return MappingProxyType(dict(zip(LABELS[step], labels, strict=True)))


class _Measuring(AbstractContextManager[None]):
    """One call. A class: it is made several times for each console, and a generator costs twice as much."""

    __slots__ = ("_around", "_begun", "_labels", "_step", "_timings")

    def __init__(self, timings: Timings, step: Step, labels: tuple[str, ...]) -> None:
        self._timings, self._step, self._labels = timings, step, labels

    def __enter__(self) -> None:
        self._around = self._timings.around(self._step.value, _named(self._step, self._labels))
        if self._around is not None:
            self._around.__enter__()
        self._begun = self._timings.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = self._timings.monotonic() - self._begun
        if self._around is not None:
            self._around.__exit__(kind, value, trace)
        if isinstance(value, asyncio.CancelledError):
            return
        failed = value is not None and (not isinstance(value, ConsoleKitError) or value.status >= _FAULT)
        self._timings.tell(Timing(self._step, self._labels, seconds, failed))
