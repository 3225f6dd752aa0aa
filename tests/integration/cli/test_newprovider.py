"""``consolekit new-provider``: what it makes is installed into a fresh environment, and green at once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consolekit.cli.main import cli

ROOT = Path(__file__).resolve().parents[3]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")


def made(*words: str) -> Result:
    return CliRunner().invoke(cli, ["new-provider", *words], prog_name="consolekit", terminal_width=100)


def run(*command: str, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CONSOLEKIT"))}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A fresh environment with consolekit from this tree; what that needs is found where it is here."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install(str(folder / "bin" / "python"), ROOT)
    return str(folder / "bin" / "python")


def install(python: str, project: Path) -> None:
    words = (
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--editable",
        str(project),
    )
    run(*PIP, "--python", python, *words, cwd=project)


@pytest.mark.timeout(300)
def test_it_is_green_at_once(python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = made("my-cloud")
    assert told.exit_code == 0, told.output
    project = tmp_path / "consolekit-my-cloud"
    assert "  cd consolekit-my-cloud\n" in told.stdout
    install(python, project)
    strangers = [
        word for name in ("asyncio", "anyio", "schemathesis", "randomly") for word in ("-p", f"no:{name}")
    ]
    said = run(python, "-m", "pytest", "-q", *strangers, cwd=project)
    assert " passed" in said
    assert not [word for word in ("skipped", "failed", "error", "warning") if word in said], said
    program = str(Path(python).with_name("consolekit"))
    listed = json.loads(run(program, "providers", "list", "--json", cwd=project))
    (mine,) = [row for row in listed if row["use"] == "my-cloud"]
    assert (mine["distribution"], mine["version"], mine["state"]) == (
        "consolekit-my-cloud",
        "0.1.0",
        "disabled",
    )
    (tmp_path / "consolekit.toml").write_text(
        '[providers.lab]\nuse = "my-cloud"\nurl = "https://my-cloud.example.org"\ntoken = "x"\n'
    )
    listed = run(program, "providers", "list", "-v", "-c", "consolekit.toml", cwd=tmp_path).splitlines()
    right = "lab my-cloud consolekit-my-cloud 0.1.0 vnc/novnc ok 1 consolekit_my_cloud:MyCloudProvider"
    assert " ".join(listed[1].split()) == right


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
