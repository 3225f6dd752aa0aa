"""Documentation: a picture of ``deploy/grafana-dashboard.json``, drawn from what a Prometheus answers.

It is no screenshot of Grafana: each panel's own expressions are asked, and drawn with matplotlib, which is
not among the project's dependencies (``pip install matplotlib``)::

    python docs/draw_dashboard.py http://127.0.0.1:9090 --minutes 30 docs/_static/dashboard.png
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image  # matplotlib brings it

FILE = Path(__file__).parent.parent / "deploy" / "grafana-dashboard.json"
COLUMNS = 24
INCHES = (0.6, 0.27)  # of one cell of Grafana's grid
STEPS = 240
MOST_LINES = 7
GREEN, RED, GREY = "#2e7d32", "#c62828", "#666666"

Series = list[tuple[str, list[float], list[float]]]


class Source:
    """Asks a Prometheus for a stretch of time."""

    def __init__(self, url: str, begin: float, end: float, window: str) -> None:
        self._url, self.begin, self.end = url, begin, end
        self._variables = {"$job": ".+", "$instance": ".+", "$__rate_interval": window}

    def series(self, target: dict[str, Any]) -> Series:
        """Legend, times and values of every line of a target."""
        expression = target["expr"]
        for name, value in self._variables.items():
            expression = expression.replace(name, value)
        step = (self.end - self.begin) / STEPS
        query = {"query": expression, "start": self.begin, "end": self.end, "step": step}
        with urllib.request.urlopen(
            f"{self._url}/api/v1/query_range?{urllib.parse.urlencode(query)}"
        ) as answer:
            found = json.load(answer)["data"]["result"]
        return [_line(target["legendFormat"], series) for series in found]


def _line(legend: str, series: dict[str, Any]) -> tuple[str, list[float], list[float]]:
    for name, value in series["metric"].items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend, [at for at, _ in series["values"]], [float(value) for _, value in series["values"]]


def shown(value: float, unit: str) -> str:
    """A value as a person reads it."""
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1000:.3g} ms"
    if unit in ("Bps", "bytes"):
        for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}{'/s' if unit == 'Bps' else ''}"
    if unit in ("cps", "reqps"):
        return f"{value:.3g}/s"
    return f"{value:.4g}"


def draw_stat(axes: Axes, panel: dict[str, Any], lines: Series) -> None:
    """One number, or the names of what there is."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    text = "no data"
    if lines:
        text = lines[0][0] or shown(lines[0][2][-1], unit)
    axes.axis("off")
    bad = panel["title"] == "Revocations heard" and lines and lines[0][2][-1] < 1
    size = 15 if len(text) < 12 else 8
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=size, color=RED if bad else GREEN)


def draw_lines(axes: Axes, panel: dict[str, Any], lines: Series) -> None:
    """Lines over time; those that are nought all the time are left out where there are many."""
    defaults = panel["fieldConfig"]["defaults"]
    if len(lines) > MOST_LINES:
        lines = sorted(lines, key=lambda line: -_most(line))[:MOST_LINES]
        lines = [line for line in lines if _most(line) > 0] or lines[:1]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    for name, times, values in lines:
        at = [datetime.datetime.fromtimestamp(when, datetime.UTC) for when in times]
        axes.plot(at, values, linewidth=0.9, label=name)
        if stacked and len(lines) == 1:
            axes.fill_between(at, values, alpha=0.25)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, defaults["unit"])))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%H:%M"))
    axes.tick_params(labelsize=5, length=2, colors=GREY)
    axes.grid(visible=True, linewidth=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if lines:
        axes.legend(fontsize=4.5, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.11))


def _most(line: tuple[str, list[float], list[float]]) -> float:
    return max((value for value in line[2] if not math.isnan(value)), default=0.0)


def draw(source: Source, out: Path) -> None:
    """Every panel where Grafana would put it."""
    panels = json.loads(FILE.read_text(encoding="utf-8"))["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 1
    figure = plt.figure(figsize=(COLUMNS * INCHES[0], height * INCHES[1]))
    for panel in panels:
        place = panel["gridPos"]
        x, y = place["x"] / COLUMNS, 1 - (place["y"] + 1) / height
        figure.text(x + 0.006, y, panel["title"], fontsize=8 if panel["type"] == "row" else 6.5, va="top",
                    weight="bold" if panel["type"] == "row" else "normal")  # fmt: skip
        if panel["type"] == "row":
            continue
        low = y - place["h"] / height
        box = (x + 0.03, low + 1.6 / height, place["w"] / COLUMNS - 0.04, (place["h"] - 3.1) / height)
        lines = [line for target in panel["targets"] for line in source.series(target)]
        if panel["type"] == "stat":
            draw_stat(figure.add_axes((box[0], low, box[2], place["h"] / height)), panel, lines)
        else:
            draw_lines(figure.add_axes(box), panel, lines)
    note = (
        "consolekit: drawn from the expressions of deploy/grafana-dashboard.json, as Prometheus answered them"
    )
    figure.text(0.006, 1 - 0.15 / height, note, fontsize=6, va="top", color=GREY)
    figure.savefig(out, dpi=85)
    Image.open(out).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(out, optimize=True)


def main() -> None:
    """Ask and draw."""
    parser = argparse.ArgumentParser(description="Draw the dashboard from a running Prometheus.")
    parser.add_argument("prometheus", help="its URL")
    parser.add_argument("out", type=Path, help="the picture")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--window", default="1m", help="what stands for $__rate_interval")
    given = parser.parse_args()
    end = time.time()  # noqa: TID251 - Prometheus' clock is the wall's
    draw(Source(given.prometheus, end - 60 * given.minutes, end, given.window), given.out)


if __name__ == "__main__":
    main()
