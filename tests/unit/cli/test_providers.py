"""cli.providers: what can be used, what not and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from consolekit.cli import providers
from consolekit.core.plugins import PROVIDERS, PluginInfo

Call = Callable[..., Result]
VNC = PluginInfo(group=PROVIDERS, name="vnc", target="a.b:Vnc", distribution="consolekit", version="1")
OTHER = PluginInfo(
    group=PROVIDERS, name="other", target="must.not:BeImported", distribution="more", version="2"
)


@pytest.fixture(autouse=True)
def two_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "installed", lambda group: [OTHER, VNC])


def test_configured_ones_first_then_what_could_be(run: Call, file: Path) -> None:
    result = run("providers", "list", "-c", str(file))
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows == [
        ["NAME", "USE", "PACKAGE", "CONSOLES", "STATE"],
        ["lab", "vnc", "consolekit", "1", "vnc/novnc", "ok"],
        ["-", "other", "more", "2", "-", "disabled"],
    ]


def test_verbose(run: Call, file: Path) -> None:
    assert "must.not:BeImported" in run("providers", "list", "-v", "-c", str(file)).stdout


def test_a_failure_with_its_cure(run: Call, file: Path) -> None:
    file.write_text(
        file.read_text() + '[providers.x]\nuse = "nope"\n[providers.y]\nuse = "vnc"\nservers = "s3cret"\n'
    )
    result = run("providers", "list", "-c", str(file))
    assert result.exit_code == 1
    assert "x: providers.x.use: 'nope': no installed package offers it; installed: " in result.stderr
    assert "y: providers.y.servers: must be of type object" in result.stderr
    assert result.stdout.count("failed") == 2
    assert "s3cret" not in result.stdout + result.stderr


def test_json(run: Call, file: Path) -> None:
    rows = json.loads(run("providers", "list", "--json", "-c", str(file)).stdout)
    assert rows[0] == {
        "name": "lab",
        "use": "vnc",
        "package": "consolekit 1",
        "target": "a.b:Vnc",
        "pairs": ["vnc/novnc"],
        "state": "ok",
        "problems": [],
    }
    assert rows[1]["state"] == "disabled"


def test_none_is_configured(run: Call) -> None:
    result = run("providers", "list")
    assert result.exit_code == 0
    assert "None is configured" in result.stdout
    assert '[providers.NAME]\n  use = "other"' in result.stdout


def test_none_is_installed(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "installed", lambda group: [])
    assert "no provider is installed" in run("providers", "list").stderr
