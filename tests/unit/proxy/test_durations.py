"""Durations: every series there from the start, what others bring along makes none, failures beside times."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from consolekit.auth.timed import OPERATIONS as STORE_OPERATIONS
from consolekit.core.timings import Step, Timing
from consolekit.core.types import ConsoleKey
from consolekit.kit.kit import OPERATIONS as PROVIDER_OPERATIONS
from consolekit.proxy.durations import Durations

LABELS = {
    Step.STORE: {"operation": "take"},
    Step.VALIDATOR: {"validator": "nova"},
    Step.PROVIDER: {"provider": "lab", "operation": "open"},
    Step.CONNECT: {"protocol": "vnc", "type": "novnc"},
    Step.HANDSHAKE: {"protocol": "vnc", "type": "novnc"},
}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def durations(registry):
    keys = [ConsoleKey("vnc", "novnc")]
    return Durations(keys, providers=["lab"], validators=["nova", "stored"], registry=registry)


def timing(step: Step, *labels: str, failed: bool = False) -> Timing:
    return Timing(step, labels or tuple(LABELS[step].values()), 0.03, failed)


@pytest.mark.parametrize("step", Step)
def test_a_call_and_its_failure_are_counted(durations, registry, step):
    name, labels = f"consolekit_{step.value}", LABELS[step]
    assert registry.get_sample_value(f"{name}_seconds_count", labels) == 0
    assert registry.get_sample_value(f"{name}_failures_total", labels) == 0
    durations.took(timing(step))
    durations.took(timing(step, failed=True))
    assert registry.get_sample_value(f"{name}_seconds_count", labels) == 2
    assert registry.get_sample_value(f"{name}_seconds_sum", labels) == pytest.approx(0.06)
    assert registry.get_sample_value(f"{name}_seconds_bucket", {**labels, "le": "0.025"}) == 0
    assert registry.get_sample_value(f"{name}_seconds_bucket", {**labels, "le": "0.05"}) == 2
    assert registry.get_sample_value(f"{name}_failures_total", labels) == 1


def test_every_operation_is_there_before_its_first_call(durations, registry):
    for operation in STORE_OPERATIONS:
        assert registry.get_sample_value("consolekit_store_seconds_count", {"operation": operation}) == 0
    for operation in PROVIDER_OPERATIONS:
        labels = {"provider": "lab", "operation": operation}
        assert registry.get_sample_value("consolekit_provider_seconds_count", labels) == 0


def test_labels_that_nobody_configured_make_no_series(durations, registry):
    before = [(sample.name, sample.labels) for family in registry.collect() for sample in family.samples]
    durations.took(timing(Step.PROVIDER, "named-by-a-token", "open"))
    durations.took(timing(Step.CONNECT, "mks", "webmks", failed=True))
    after = [(sample.name, sample.labels) for family in registry.collect() for sample in family.samples]
    assert after == before
