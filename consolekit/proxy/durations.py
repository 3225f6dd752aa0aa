"""Proxy: how long calls to others take, as histograms, with how many failed. Knows no call and no caller.

Only labels that were known from the start are counted: a name that a token brings along makes no new series.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

from consolekit.auth.timed import OPERATIONS as STORE_OPERATIONS
from consolekit.core.timings import LABELS, Step, Timing
from consolekit.core.types import ConsoleKey
from consolekit.kit.kit import OPERATIONS as PROVIDER_OPERATIONS

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STEPS: dict[Step, tuple[str, str]] = {
    Step.STORE: ("A call of the token store", "Calls that the token store failed"),
    Step.VALIDATOR: ("A question to a token validator", "Questions that a validator failed"),
    Step.PROVIDER: (
        "A question to a provider, and so to its vCenter or hypervisor",
        "Questions that a provider failed",
    ),
    Step.CONNECT: (
        "A connection attempt to a console's server, name and TLS included",
        "Connection attempts that failed",
    ),
    Step.HANDSHAKE: (
        "The server's part of a handshake",
        "Handshakes that a server failed",
    ),
}


class Durations:
    """``consolekit_STEP_seconds`` and ``consolekit_STEP_failures`` of every ``Step``.

    Args:
        keys: The pairs that are offered.
        providers: The configured providers' names.
        validators: The validators' names.
        registry: Where to register.
    """

    def __init__(
        self,
        keys: Iterable[ConsoleKey],
        *,
        providers: Iterable[str],
        validators: Iterable[str],
        registry: CollectorRegistry,
    ) -> None:
        pairs = [(key.protocol, key.type) for key in keys]
        known: dict[Step, list[tuple[str, ...]]] = {
            Step.STORE: [(operation,) for operation in STORE_OPERATIONS],
            Step.VALIDATOR: [(name,) for name in validators],
            Step.PROVIDER: [(name, operation) for name in providers for operation in PROVIDER_OPERATIONS],
            Step.CONNECT: [*pairs],
            Step.HANDSHAKE: [*pairs],
        }
        self._seconds: dict[tuple[Step, tuple[str, ...]], Histogram] = {}
        self._failures: dict[tuple[Step, tuple[str, ...]], Counter] = {}
        for step, (took, failed) in _STEPS.items():
            names = LABELS[step]
            title = f"consolekit_{step.value}"
            seconds = Histogram(f"{title}_seconds", took, names, buckets=_BUCKETS, registry=registry)
            failures = Counter(f"{title}_failures", failed, names, registry=registry)
            for labels in known[step]:
                self._seconds[step, labels] = seconds.labels(*labels)
                self._failures[step, labels] = failures.labels(*labels)

    def took(self, timing: Timing) -> None:
        """A call is over."""
        found = self._seconds.get((timing.step, timing.labels))
        if found is not None:
            found.observe(timing.seconds)
            if timing.failed:
                self._failures[timing.step, timing.labels].inc()
