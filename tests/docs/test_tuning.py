"""The page about tuning names what there is: metrics, values of labels, keys, and the defaults of these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consolekit.cli.figures import ParentFigures
from consolekit.config import model
from consolekit.core.errors import every_error
from consolekit.core.types import ConsoleKey
from consolekit.net import listener
from consolekit.net.sockets import _KEEPALIVE
from consolekit.providers.vsphere.settings import VSPHERE_SCHEMA
from consolekit.proxy import pump
from consolekit.proxy.closecodes import ENDS
from consolekit.proxy.metrics import Metrics, Sources

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "howto" / "tuning.md").read_text(encoding="utf-8")
SETTINGS = {setting.path: setting.default for setting in model.settings()}
KEY = re.compile(r"`((?:proxy|api|admin|tokens|limits|timeouts|log|hooks)\.[a-z_]+)(?: = [^`]*)?`")


def test_every_metric_is_one() -> None:
    registry = CollectorRegistry()
    Metrics([ConsoleKey("vnc", "novnc")], registry=registry, sources=Sources())
    families = [*registry.collect(), *ParentFigures(serving=int, leaving=int).collect()]
    known = {family.name for family in families}
    shown = set(re.findall(r"\bconsolekit_[a-z_]+", PAGE))
    assert {re.sub(r"_(?:total|bucket)$", "", name) for name in shown} <= known
    assert len(shown) > 10


def test_every_key_is_one() -> None:
    shown = set(KEY.findall(PAGE))
    assert shown <= SETTINGS.keys()
    assert shown > {"limits.sessions", "timeouts.stall_seconds", "log.level"}


def defaults() -> Iterator[Any]:
    """The tables' rows of ours that begin with keys and go on with a default for each."""
    for row in re.findall(r"^\| (`[^|]+`) \| ([\d, ]+) \|", PAGE, re.MULTILINE):
        names, values = re.findall(r"`([^`]+)`", row[0]), row[1].split(",")
        for name, value in zip(names, values, strict=True):
            yield pytest.param(name, float(value), id=name)


@pytest.mark.parametrize(("name", "value"), list(defaults()))
def test_every_default_is_as_the_code_has_it(name: str, value: float) -> None:
    found = SETTINGS[name] if "." in name else VSPHERE_SCHEMA["properties"][name]["default"]
    assert found == value


def test_the_values_of_labels_are_there() -> None:
    for code in ("limit_reached", "console_limit_reached", "store_unavailable"):
        assert f"{code}" in PAGE
        assert code in every_error()
    for reason in ("stalled", "ping_timeout"):
        assert f"`{reason}`" in PAGE
        assert reason in ENDS


def test_the_numbers_that_are_fixed_are_the_codes_own() -> None:
    assert f"backlog of {listener._BACKLOG}" in PAGE
    assert f"{pump.FROM_SERVER // 1024} KiB" in PAGE
    idle, interval, count = (value for _, value in _KEEPALIVE)
    assert f"after {idle + interval * count} s of silence ({idle}, then three\ntimes {interval})" in PAGE
    assert count == 3
