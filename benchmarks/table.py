"""Renders results as the Markdown table of the documentation.

python benchmarks/table.py benchmarks/results/FILE.jsonl
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

_OURS = "consolekit"


@attrs.frozen
class Row:
    """One figure of one scenario, as a row."""

    scenario: str
    figure: str
    title: str
    scale: float = 1.0


ROWS = (
    Row("down", "cpu_s_per_gb", "bulk to the viewer, CPU-s per GB"),
    Row("up-4k", "cpu_s_per_gb", "bulk from the viewer, 4 KiB messages, CPU-s per GB"),
    Row("up-64k", "cpu_s_per_gb", "bulk from the viewer, 64 KiB messages, CPU-s per GB"),
    Row("ping-100", "cpu_us_per_message", "small message, 100 sessions, CPU-µs"),
    Row("ping-100", "p50_ms", "its answer, median, ms"),
    Row("ping-100", "p99_ms", "its answer, 99 of 100 within, ms"),
    Row("ping-1000", "cpu_us_per_message", "small message, 1000 sessions, CPU-µs"),
    Row("ping-1000", "p50_ms", "its answer, median, ms"),
    Row("ping-1000", "p99_ms", "its answer, 99 of 100 within, ms"),
    Row("curve-1", "cpu_us_per_message", "5000 small messages a second on 1 session, CPU-µs each"),
    Row("curve-10", "cpu_us_per_message", "on 10 sessions"),
    Row("curve-100", "cpu_us_per_message", "on 100 sessions"),
    Row("curve-2000", "cpu_us_per_message", "on 2000 sessions"),
    Row("curve-2000", "p99_ms", "its answer, 99 of 100 within, ms"),
    Row("ws-down", "cpu_s_per_gb", "bulk from a websocket server, CPU-s per GB"),
    Row("connect", "per_s", "connections per second"),
    Row("connect", "cpu_ms_each", "each, CPU-ms"),
    Row("connect-rfb", "per_s", "connections per second, RFB security included"),
    Row("connect-rfb", "cpu_ms_each", "each, CPU-ms"),
    Row("tls-down", "cpu_s_per_gb", "TLS: bulk to the viewer, CPU-s per GB"),
    Row("wss-down", "cpu_s_per_gb", "TLS on both sides: bulk from a websocket server, CPU-s per GB"),
    Row("tls-ping-1000", "cpu_us_per_message", "TLS: small message, 1000 sessions, CPU-µs"),
    Row("tls-ping-1000", "p99_ms", "TLS: its answer, 99 of 100 within, ms"),
    Row("tls-connect", "per_s", "TLS: connections per second"),
    Row("tls-connect", "cpu_ms_each", "TLS: each, CPU-ms"),
    Row("idle", "kib_per_session", "an idle session, KiB"),
    Row("tls-idle", "kib_per_session", "TLS: an idle session, KiB"),
    Row("stall-viewer", "grown_kib", "growth while a viewer takes nothing of 256 MiB, KiB"),
    Row("stall-console", "grown_kib", "growth while a console takes nothing of 256 MiB, KiB"),
)

Medians = dict[tuple[str, str, str], float]


def medians(records: Iterable[dict[str, Any]]) -> Medians:
    """By scenario, peer and figure: the median of all rounds."""
    values = defaultdict(list)
    for record in records:
        for figure, value in record.get("figures", {}).items():
            values[record["scenario"], record["peer"], figure].append(value)
    return {key: statistics.median(found) for key, found in values.items()}


def render(records: list[dict[str, Any]]) -> str:
    """The table: our figure, and each peer's with ours as a multiple of it."""
    found = medians(records)
    peers = list(dict.fromkeys(peer for _, peer, _ in found if peer != _OURS))
    lines = [
        "| | " + " | ".join([_OURS, *peers]) + " |",
        "| --- |" + " ---: |" * (1 + len(peers)),
    ]
    for row in ROWS:
        ours = found.get((row.scenario, _OURS, row.figure))
        theirs = [found.get((row.scenario, peer, row.figure)) for peer in peers]
        if ours is not None:
            cells = [plain(ours), *(_compared(ours, value) for value in theirs)]
            lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _compared(ours: float, theirs: float | None) -> str:
    if theirs is None:
        return "-"
    return f"{plain(theirs)} (x{plain(ours / theirs)})" if ours > 0 and theirs > 0 else plain(theirs)


def plain(value: float) -> str:
    """Two or three digits that count; memory that shrank did not grow."""
    if value <= 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    print(render([record for name in sys.argv[1:] for record in read(Path(name))]))
