"""CLI: the figures of several workers and their parent as one page. Knows no socket and no process.

Sums are right for counts, buckets and gauges of things that are there; ``MERGE`` names the rest. What a
worker had counted when it ended stays in the sum, as it was last seen: a counter never goes back.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from consolekit.cli import logs
from consolekit.proxy.metrics import MERGE, lost_lines

_Sample = tuple[str, tuple[tuple[str, str], ...]]
_LASTING = ("counter", "histogram")


@attrs.define
class _Family:
    name: str
    documentation: str
    type: str
    values: dict[_Sample, float] = attrs.Factory(dict)

    def add(self, metric: Metric) -> None:
        for sample in metric.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            merge: Callable[[float, float], float] = MERGE.get(self.name, operator.add)
            self.values[key] = merge(self.values[key], sample.value) if key in self.values else sample.value


class Figures:
    """The sum over the workers that are, and over those that were."""

    def __init__(self) -> None:
        self._ended: dict[str, _Family] = {}

    def page(self, texts: Iterable[str], own: Iterable[Metric] = ()) -> bytes:
        """Prometheus' text of the sum.

        Args:
            texts: What each living worker has just said, in the same format.
            own: What the parent has to add.
        """
        families: dict[str, _Family] = {}
        _add(families, (family for kept in self._ended.values() for family in [_metric(kept)]))
        for text in texts:
            _add(families, text_string_to_metric_families(text))
        _add(families, own)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given(list(families.values())))
        return generate_latest(registry)

    def keep(self, text: str) -> None:
        """Take over what a worker had counted that is gone now: what was last heard of it."""
        lasting = (family for family in text_string_to_metric_families(text) if family.type in _LASTING)
        _add(self._ended, lasting)


class ParentFigures(Collector):
    """What the parent of the workers knows.

    Args:
        serving: Gives the number of workers that take new consoles.
        leaving: Gives the number of those that end with their last console.

    Attributes:
        died: How many workers have ended by themselves.
    """

    def __init__(self, *, serving: Callable[[], int], leaving: Callable[[], int]) -> None:
        self._serving, self._leaving = serving, leaving
        self.died = 0

    def collect(self) -> Iterable[Metric]:
        """Every figure as of now."""
        workers = GaugeMetricFamily("consolekit_workers", "Worker processes", labels=["state"])
        workers.add_metric(["serving"], self._serving())
        workers.add_metric(["leaving"], self._leaving())
        yield workers
        text = "Workers that ended by themselves, and their consoles with them"
        yield CounterMetricFamily("consolekit_workers_died", text, value=self.died)
        yield lost_lines(logs.lost())


class _Given(Collector):
    def __init__(self, families: list[_Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return [_metric(family) for family in self._families]


def _add(families: dict[str, _Family], metrics: Iterable[Metric]) -> None:
    for metric in metrics:
        if metric.name.endswith("_created"):  # when a process began to count says nothing of their sum
            continue
        family = families.setdefault(metric.name, _Family(metric.name, metric.documentation, metric.type))
        family.add(metric)


def _metric(family: _Family) -> Metric:
    metric = Metric(family.name, family.documentation, family.type)
    for (name, labels), value in family.values.items():
        metric.add_sample(name, dict(labels), value)
    return metric
