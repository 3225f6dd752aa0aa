"""``consolekit new-provider``: what it makes is green; ``tests/docs`` installs it in a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consolekit.cli.main import cli

UNINSTALLED = "tests/test_my_cloud.py::test_consolekit_finds_it"


def made(*words: str) -> Result:
    return CliRunner().invoke(cli, ["new-provider", *words], prog_name="consolekit", terminal_width=100)


@pytest.mark.timeout(120)
def test_its_tests_are_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = made("my-cloud")
    assert told.exit_code == 0, told.output
    assert "  cd consolekit-my-cloud\n" in told.stdout
    strangers = [word for name in ("asyncio", "anyio", "schemathesis") for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *strangers, "--deselect", UNINSTALLED],
        cwd=tmp_path / "consolekit-my-cloud",
        env={**os.environ, "PYTHONPATH": ".", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not [word for word in ("skipped", "failed", "error", "warning") if word in said], said


@pytest.mark.parametrize("name", ["x", "acme", "my-cloud-9", "a-name-of-thirty-characters-ok"])
def test_what_it_writes_is_in_order(name: str, tmp_path: Path) -> None:
    assert made(name, "--directory", str(tmp_path / "here")).exit_code == 0
    here = tmp_path / "here"
    for path in here.rglob("*"):
        text = path.name + (path.read_text() if path.is_file() else "")
        assert not re.search(r"@[A-Z]+@", text), f"{path} has a word that was not replaced"
    rules = ["--isolated", "--select", "E,F,W,I,B,UP,ASYNC,RUF", "--line-length", "110"]
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "check", "--quiet", *rules, "."], cwd=here, check=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme", "must be small letters"),
        ("my_cloud", "must be small letters"),
        ("9cloud", "must be small letters"),
        ("a--b", "must be small letters"),
        ("../x", "must be small letters"),
        ("a" * 31, "at most 30 characters"),
        ("", "must be small letters"),
        ("consolekit-acme", "must not begin with consolekit"),
        ("vnc", "is taken by consolekit 0.1.0"),
    ],
)
def test_a_name_that_is_none_is_refused(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = made(name)
    assert told.exit_code == 2
    assert said in " ".join(told.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for directory, said in ((tmp_path, "is not empty"), (tmp_path / "file", "is no directory")):
        told = made("acme", "--directory", str(directory))
        assert told.exit_code == 2
        assert f"{said}; nothing was written" in " ".join(told.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = made("acme", "--directory", str(tmp_path / "file" / "acme"))
    assert told.exit_code == 1
    assert "Not a directory" in told.stderr
    assert "Traceback" not in told.stderr


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    assert made("acme", "--directory", str(tmp_path)).exit_code == 0
    assert (tmp_path / "consolekit_acme.py").is_file()
