"""Test support: a real Prometheus of our own that scrapes what it is told, asked through its HTTP API.

Importable as ``promserver``.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml
from dbservers import free_port
from parts import require

PATIENCE = 30.0
SCRAPE_SECONDS = 0.5
#: What stands in for the variables of a dashboard.
VARIABLES = {"$job": "consolekit", "$instance": ".+", "$__rate_interval": "5m"}


@attrs.frozen
class Prometheus:
    """A running Prometheus.

    Attributes:
        url: Where it listens.
    """

    url: str

    def _get(self, path: str, **query: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise AssertionError(f"{query}: {refusal.read().decode()}") from None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each sample of an instant query; one that is wrong raises."""
        found = self._get("query", query=expression)
        assert found["resultType"] == "vector", expression
        return [(sample["metric"], float(sample["value"][1])) for sample in found["result"]]

    def numbers(self, expression: str) -> list[float]:
        """The values that are numbers, as soon as there is one; histograms without observations give none."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [value for _, value in self.query(expression) if not math.isnan(value)]
            if found:
                return found
            assert time.monotonic() < deadline, f"no data: {expression}"
            time.sleep(SCRAPE_SECONDS)

    def until(self, expression: str, value: float) -> None:
        """Wait for a query's only number to be this one."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.numbers(expression)) != [value]:
            assert time.monotonic() < deadline, f"{expression}: {found}, not {value}"
            time.sleep(SCRAPE_SECONDS)

    def query_range(self, expression: str, *, begin: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of a range query: ``metric`` and ``values``."""
        found = self._get("query_range", query=expression, start=f"{begin}", end=f"{end}", step=f"{step}")
        series: list[dict[str, Any]] = found["result"]
        return series

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its state and health, once each has been evaluated."""
        deadline = time.monotonic() + PATIENCE
        while True:
            rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
            if rules and all(rule["health"] != "unknown" for rule in rules):
                return rules
            assert time.monotonic() < deadline, rules
            time.sleep(SCRAPE_SECONDS)


@contextlib.contextmanager
def scraping(directory: Path, *targets: str, rules: Path | None = None) -> Iterator[Prometheus]:
    """Run Prometheus over these admin listeners, as the job ``consolekit``; it has scraped all of them."""
    program = require("prometheus", "prometheus")
    config = {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS * 1000:.0f}ms",
            "scrape_timeout": f"{SCRAPE_SECONDS * 1000:.0f}ms",
            "evaluation_interval": f"{SCRAPE_SECONDS * 1000:.0f}ms",
        },
        "rule_files": [str(rules)] if rules else [],
        "scrape_configs": [
            {
                "job_name": "consolekit",
                "static_configs": [{"targets": [url.removeprefix("http://") for url in targets]}],
            }
        ],
    }
    file, port = directory / "prometheus.yml", free_port()
    file.write_text(yaml.safe_dump(config))
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            server = Prometheus(f"http://127.0.0.1:{port}")
            _until_scraped(server, process, len(targets), directory / "prometheus.log")
            yield server
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _until_scraped(server: Prometheus, process: subprocess.Popen[bytes], count: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, AssertionError):  # not ready yet
            if server.query("count(consolekit_build_info)") == [({}, float(count))]:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(SCRAPE_SECONDS)


def dashboard(file: Path) -> list[tuple[str, str, str]]:
    """Panel's title, expression with its variables filled in, and legend, of every target."""
    found = []
    for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, expression
            found.append((panel["title"], expression, target["legendFormat"]))
    return found
