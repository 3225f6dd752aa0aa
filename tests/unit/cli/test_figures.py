"""Several pages of Prometheus' text become one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from consolekit.cli import logs
from consolekit.cli.figures import Figures, ParentFigures
from consolekit.proxy.metrics import lost_lines


def page(opened: int, live: int, *seconds: float) -> str:
    registry = CollectorRegistry()
    Counter("consolekit_opened", "Opened", ["pair"], registry=registry).labels("vnc").inc(opened)
    Gauge("consolekit_live", "Live", registry=registry).set(live)
    took = Histogram("consolekit_seconds", "Took", buckets=(1, 5), registry=registry)
    for each in seconds:
        took.observe(each)
    return generate_latest(registry).decode()


def samples(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    return {
        sample.name
        + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_everything_is_summed() -> None:
    assert samples(Figures().page([page(2, 1, 0.5), page(3, 4, 0.5, 3)])) == {
        "consolekit_opened_total,pair=vnc": 5,
        "consolekit_live": 5,
        "consolekit_seconds_bucket,le=1.0": 2,
        "consolekit_seconds_bucket,le=5.0": 3,
        "consolekit_seconds_bucket,le=+Inf": 3,
        "consolekit_seconds_count": 3,
        "consolekit_seconds_sum": 4,
    }


def test_counts_of_a_worker_that_ended_stay_and_what_was_there_goes() -> None:
    figures = Figures()
    figures.keep(page(2, 7, 0.5))
    figures.keep(page(1, 7))
    found = samples(figures.page([page(3, 4)]))
    assert found["consolekit_opened_total,pair=vnc"] == 6
    assert found["consolekit_live"] == 4
    assert found["consolekit_seconds_count"] == 1
    assert samples(figures.page([page(3, 4)])) == found, "asked twice, the same"


def test_names_and_texts_are_those_of_a_single_process() -> None:
    single = page(1, 1, 0.5)
    merged = Figures().page([single]).decode()
    kept = {line for line in single.splitlines() if "_created" not in line}
    assert set(merged.splitlines()) == kept


def test_no_worker_yet() -> None:
    assert Figures().page([]) == b""
    figures = Figures()
    figures.keep("")
    assert figures.page([""]) == b""


def host(python: str, expiry: float, up: int, opened: int, most: int) -> str:
    registry = CollectorRegistry()
    Gauge("consolekit_build_info", "Build", ["python"], registry=registry).labels(python).set(1)
    name = "consolekit_certificate_expiry_timestamp_seconds"
    Gauge(name, "Expiry", ["listener"], registry=registry).labels("proxy").set(expiry)
    Gauge("consolekit_revocations_up", "Up", registry=registry).set(up)
    Gauge("process_open_fds", "Open", registry=registry).set(opened)
    Gauge("process_max_fds", "Most", registry=registry).set(most)
    return generate_latest(registry).decode()


def test_what_no_sum_can_tell_is_told_of_the_worst() -> None:
    pages = [host("3.11", 2e9, 1, 30, 1024), host("3.11", 1e9, 0, 500, 1024)]
    assert samples(Figures().page(pages)) == {
        "consolekit_build_info,python=3.11": 1,
        "consolekit_certificate_expiry_timestamp_seconds,listener=proxy": 1e9,
        "consolekit_revocations_up": 0,
        "process_open_fds": 500,
        "process_max_fds": 1024,
    }


def test_what_the_parent_knows_stands_beside_and_what_all_count_is_summed(monkeypatch) -> None:
    monkeypatch.setattr(logs, "lost", lambda: 3)
    own = ParentFigures(serving=lambda: 2, leaving=lambda: 1)
    own.died += 1
    worker = generate_latest(OneOf(lost_lines(4))).decode()
    assert samples(Figures().page([worker], own.collect())) == {
        "consolekit_workers,state=serving": 2,
        "consolekit_workers,state=leaving": 1,
        "consolekit_workers_died_total": 1,
        "consolekit_log_lines_lost_total": 7,
    }


class OneOf:
    """A registry of one figure."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> list[Metric]:
        return [self._metric]
