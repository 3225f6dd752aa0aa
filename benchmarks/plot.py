"""Draws results as the documentation's picture: one small chart a figure, and the cost curve.

python benchmarks/plot.py benchmarks/results/FILE.jsonl docs/_static/performance.svg
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

import attrs
import table

PEERS = ("consolekit", "haproxy", "nginx", "node", "websockify", "direct")
_COLOURS = ("#0969da", "#8250df", "#1a7f37", "#bf8700", "#cf222e", "#57606a")
_CURVE = {1: "curve-1", 10: "curve-10", 100: "curve-100", 1000: "ping-1000", 2000: "curve-2000"}
_WIDTH, _HEIGHT, _COLUMNS, _NAME, _LINE = 330, 170, 3, 82, 19
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 13px; }
  .frame { stroke: #d0d7de; fill: none; }
  path { fill: none; stroke-width: 2; }
"""


@attrs.frozen
class Chart:
    """One figure as bars.

    Attributes:
        scenario: Whose.
        figure: Its name in the results.
        title: With its unit, and which way is better.
        log: Whether a bar's length is that of the logarithm, because one peer is far away.
    """

    scenario: str
    figure: str
    title: str
    log: bool = False


CHARTS = (
    Chart("ping-1000", "cpu_us_per_message", "small message, 1000 sessions: CPU-µs"),
    Chart("ping-1000", "p99_ms", "its answer, 99 of 100 within: ms"),
    Chart("connect", "per_s", "connections a second (more is better; log)", log=True),
    Chart("down", "cpu_s_per_gb", "bulk to the viewer: CPU-s per GB"),
    Chart("up-4k", "cpu_s_per_gb", "bulk from the viewer, 4 KiB: CPU-s per GB"),
    Chart("tls-connect", "per_s", "TLS connections a second (more is better)"),
    Chart("tls-down", "cpu_s_per_gb", "TLS, bulk to the viewer: CPU-s per GB"),
    Chart("wss-down", "cpu_s_per_gb", "TLS on both sides: CPU-s per GB"),
    Chart("idle", "kib_per_session", "an idle session: KiB (log)", log=True),
)


def draw(found: table.Medians) -> str:
    """The picture, as SVG."""
    rows = math.ceil(len(CHARTS) / _COLUMNS)
    width, height = _WIDTH * _COLUMNS, _HEIGHT * (rows + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><style>{_STYLE}</style><rect width="100%" height="100%" fill="#ffffff"/>'
    ]
    for at, chart in enumerate(CHARTS):
        x, y = at % _COLUMNS * _WIDTH, at // _COLUMNS * _HEIGHT
        parts += [f'<g transform="translate({x},{y})">', *_bars(chart, found), "</g>"]
    parts += [f'<g transform="translate(0,{_HEIGHT * rows})">', *_curve(found, width), "</g></svg>"]
    return "\n".join(parts) + "\n"


def _bars(chart: Chart, found: table.Medians) -> Iterator[str]:
    yield f'<text class="title" x="10" y="18">{escape(chart.title)}</text>'
    values = {peer: found.get((chart.scenario, peer, chart.figure), 0.0) for peer in PEERS}
    shown = {peer: value for peer, value in values.items() if value > 0.05}
    most = max((_scaled(value, chart) for value in shown.values()), default=1.0)
    for at, (peer, value) in enumerate(shown.items()):
        y, length = 30 + at * _LINE, _scaled(value, chart) / most * (_WIDTH - _NAME - 75)
        colour = _COLOURS[PEERS.index(peer)]
        yield f'<text x="10" y="{y + 12}">{peer}</text>'
        yield f'<rect x="{_NAME}" y="{y}" width="{length:.1f}" height="14" fill="{colour}"/>'
        yield f'<text x="{_NAME + length + 5:.1f}" y="{y + 12}">{table.plain(value)}</text>'


def _scaled(value: float, chart: Chart) -> float:
    return math.log10(1 + value) if chart.log else value


def _curve(found: table.Medians, width: int) -> Iterator[str]:
    """CPU of a message over the number of sessions that share 5000 of them a second."""
    title = "5000 small messages a second: CPU-µs each, by number of sessions"
    yield f'<text class="title" x="10" y="18">{title}</text>'
    left, top, bottom, right = 50, 32, _HEIGHT - 26, width - 120
    points = {
        peer: [(sessions, found[at]) for sessions, name in _CURVE.items()
               if found.get(at := (name, peer, "cpu_us_per_message"), 0.0) > 1]
        for peer in PEERS
    }  # fmt: skip
    most = max((value for line in points.values() for _, value in line), default=1.0) * 1.1

    def place(sessions: int, value: float) -> tuple[float, float]:
        across = math.log10(sessions) / math.log10(2000)
        return left + across * (right - left), bottom - value / most * (bottom - top)

    yield f'<rect class="frame" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>'
    for sessions in _CURVE:
        x, _ = place(sessions, 0)
        yield f'<text x="{x:.0f}" y="{bottom + 16}" text-anchor="middle">{sessions}</text>'
    yield f'<text x="{left - 6}" y="{top + 10}" text-anchor="end">{most:.0f}</text>'
    yield f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>'
    drawn = [peer for peer in PEERS if points[peer]]
    for at, peer in enumerate(drawn):
        colour = _COLOURS[PEERS.index(peer)]
        line = " L".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points[peer]))
        yield f'<path d="M{line}" stroke="{colour}"/>'
        yield f'<text x="{right + 12}" y="{top + 12 + at * 18}" style="fill:{colour}">{peer}</text>'


if __name__ == "__main__":
    *sources, out = sys.argv[1:]
    records = [record for name in sources for record in table.read(Path(name))]
    Path(out).write_text(draw(table.medians(records)), encoding="utf-8")
