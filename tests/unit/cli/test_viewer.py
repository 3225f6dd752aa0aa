"""cli.viewer: noVNC is there, or how to get it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Call = Callable[..., Result]


@pytest.fixture
def novnc(tmp_path: Path) -> Path:
    folder = tmp_path / "novnc"
    (folder / "core").mkdir(parents=True)
    (folder / "core" / "rfb.js").touch()
    (folder / "VERSION").write_text("9.9\n")
    (folder / "LICENSE.txt").touch()
    return folder


def test_there(run: Call, novnc: Path) -> None:
    result = run("web", "status", "--web-root", str(novnc))
    assert result.exit_code == 0
    assert result.stdout == f"noVNC 9.9, operator's: {novnc}\n  licence: LICENSE.txt\n"


def test_there_as_json(run: Call, novnc: Path) -> None:
    data = json.loads(run("web", "status", "--json", env={"CONSOLEKIT_PROXY__WEB_ROOT": str(novnc)}).stdout)
    assert data == {
        "present": True,
        "version": "9.9",
        "source": "operator's",
        "path": str(novnc),
        "licences": [str(novnc / "LICENSE.txt")],
        "cure": "",
    }


def test_missing(run: Call, tmp_path: Path) -> None:
    result = run("web", "status", "--web-root", str(tmp_path))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error: noVNC is missing: our own page shows no console" in result.stderr
    assert "Correct --web-root" in result.stderr
