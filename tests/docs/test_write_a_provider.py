"""The page "Write a provider": its commands are run as they stand there, in a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "howto" / "write-a-provider.md").read_text("utf-8")
STRANGERS = ("asyncio", "anyio", "schemathesis", "randomly")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a fresh environment with consolekit from this tree; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("fresh")
    ours = ("PYTEST", "CONSOLEKIT")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], env=env, check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    env |= {
        "PATH": f"{folder}/bin{os.pathsep}{env['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # this is how pip spells it: no isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTEST_ADDOPTS": " ".join(f"-p no:{name}" for name in STRANGERS),
    }
    run("python -m pip install --quiet --no-deps --editable .", ROOT, env)
    return env


def run(script: str, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_its_commands_lead_to_a_green_package(env: dict[str, str], tmp_path: Path) -> None:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    said = run("\n".join(line.removeprefix("$ ") for line in lines), tmp_path, env)
    assert re.search(r"^=+ \d+ passed in .* =+$", said, re.MULTILINE)
    assert re.search(r"^- +acme +consolekit-acme 0\.1\.0 +- +disabled$", said, re.MULTILINE)
    (table,) = blocks("toml")
    (tmp_path / "consolekit.toml").write_text(table)
    said = run("consolekit providers list -c consolekit.toml", tmp_path, env)
    assert re.search(r"^lab +acme +consolekit-acme 0\.1\.0 +vnc/novnc +ok$", said, re.MULTILINE)


@pytest.mark.timeout(300)
def test_its_fixture_is_there(env: dict[str, str], tmp_path: Path) -> None:
    (fixture,) = [block for block in blocks("python") if "def test_" in block]
    (tmp_path / "test_it.py").write_text(fixture)
    assert "1 passed" in run("python -m pytest -q", tmp_path, env)


def test_what_it_shows_of_a_failed_check_is_what_is_said() -> None:
    (shown,) = blocks("text")
    words = ("was there already", "what it had taken is still held; give it back in a finally")
    source = "".join(
        (ROOT / "consolekit" / "testing" / name).read_text("utf-8")
        for name in ("cancelling.py", "providerstress.py")
    )
    assert all(part in shown and part in source for part in words)


def test_its_filter_is_one() -> None:
    (source,) = [block for block in blocks("python") if "RfbFilter" in block]
    names: dict[str, object] = {}
    exec(compile(source, "write-a-provider.md", "exec"), names)
    assert "Acme" in names
