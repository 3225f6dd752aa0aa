"""cli.providers: what can be used, what not and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import Result

from consolekit.cli import providers
from consolekit.core import plugins
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


def test_verbose_shows_the_contract_and_where_it_is_from(run: Call, file: Path) -> None:
    lines = run("providers", "list", "-v", "-c", str(file)).stdout.splitlines()
    assert [line.split()[-2:] for line in lines] == [
        ["CONTRACT", "FROM"],
        ["1", "a.b:Vnc"],
        ["-", "must.not:BeImported"],
    ]


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
        "distribution": "consolekit",
        "version": "1",
        "contract": 1,
        "target": "a.b:Vnc",
        "pairs": ["vnc/novnc"],
        "state": "ok",
        "problems": [],
    }
    assert (rows[1]["state"], rows[1]["contract"]) == ("disabled", None)


def test_what_the_environment_does_not_allow_is_told(run: Call, file: Path) -> None:
    result = run("providers", "list", "-c", str(file), env={"CONSOLEKIT_PLUGINS": ""})
    assert result.exit_code == 0
    assert "other: CONSOLEKIT_PLUGINS does not name it; add it there, or unset the variable" in result.stderr
    assert "vnc: " not in result.stderr
    allowed = run("providers", "list", "-c", str(file), env={"CONSOLEKIT_PLUGINS": "acme, other"})
    assert allowed.stderr == ""


class TestOneNameOfTwo:
    """A package that claims a name that is taken."""

    @pytest.fixture(autouse=True)
    def intruder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        claims = [VNC, attrs.evolve(VNC, distribution="intruder", version="9", target="x:Y"), OTHER]
        for module in (providers, plugins):
            monkeypatch.setattr(module, "installed", lambda group: claims)

    def test_both_are_shown_and_neither_is_used(self, run: Call, file: Path) -> None:
        result = run("providers", "list", "-c", str(file))
        assert result.exit_code == 1
        rows = [line.split() for line in result.stdout.splitlines()[1:]]
        assert rows[0] == ["lab", "vnc", "consolekit,", "intruder", "1,", "9", "-", "failed"]
        assert [(row[1], row[2], row[-1]) for row in rows[1:]] == [
            ("vnc", "consolekit", "shadowed"),
            ("vnc", "intruder", "shadowed"),
            ("other", "more", "disabled"),
        ]
        assert (
            "lab: providers.lab.use: 'vnc': claimed by consolekit 1, intruder 9; uninstall" in result.stderr
        )
        assert "vnc: intruder 9 claims this name too, so none of them is used; uninstall" in result.stderr

    def test_it_fails_nothing_that_is_not_configured(self, run: Call) -> None:
        result = run("providers", "list", "--json")
        assert result.exit_code == 0
        assert [row["state"] for row in json.loads(result.stdout)] == ["shadowed", "shadowed", "disabled"]


def test_none_is_configured(run: Call) -> None:
    result = run("providers", "list")
    assert result.exit_code == 0
    assert "None is configured" in result.stdout
    assert '[providers.NAME]\n  use = "other"' in result.stdout


def test_none_is_installed(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "installed", lambda group: [])
    assert "no provider is installed" in run("providers", "list").stderr
