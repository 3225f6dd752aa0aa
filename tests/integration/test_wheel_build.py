"""The wheel as users build it: with npm it carries noVNC and its licences, without it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import parts
import pytest

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
NOVNC = "consolekit/web/novnc/"
LICENCES = {"LICENSE.txt", "AUTHORS", "docs/LICENSE.MPL-2.0", "vendor/pako/LICENSE"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git would give a newcomer: the files that are not ignored, so no noVNC."""
    git = parts.require("git", "git")
    listed = subprocess.run([git, *LIST], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    target = tmp_path / "clone"
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def without_npm(tmp_path: Path) -> dict[str, str]:
    empty = tmp_path / "no-programs"
    empty.mkdir(exist_ok=True)
    return {**os.environ, "PATH": str(empty)}


def built(source: Path, out: Path, *options: str, env: dict[str, str] | None = None) -> str:
    """Run the build front end; what it says."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *options]
    done = subprocess.run(
        [*command, str(source)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def carried(out: Path) -> set[str]:
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    assert "consolekit/web/console.html" in names
    assert "consolekit/web/assets/main.js" in names
    assert "consolekit/cli/scaffold/provider.py.txt" in names
    assert "pytest_consolekit.py" in names
    return {name.removeprefix(NOVNC) for name in names if name.startswith(NOVNC)}


def test_with_npm(clone: Path, tmp_path: Path) -> None:
    parts.require("npm", "npm")
    built(clone, tmp_path / "out", "--wheel")
    assert carried(tmp_path / "out") >= {"core/rfb.js", "package.json", *LICENCES}


def test_without_npm(clone: Path, tmp_path: Path) -> None:
    said = built(clone, tmp_path / "out", "--wheel", env=without_npm(tmp_path))
    assert "WITHOUT its viewer" in said
    assert carried(tmp_path / "out") == set()


def test_an_sdist_carries_it_so_that_its_wheel_needs_no_npm(clone: Path, tmp_path: Path) -> None:
    parts.require("npm", "npm")
    built(clone, tmp_path / "out", "--sdist")
    (sdist,) = (tmp_path / "out").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("consolekit-*")
    built(source, tmp_path / "again", "--wheel", env=without_npm(tmp_path))
    assert carried(tmp_path / "again") >= {"core/rfb.js", "package.json", *LICENCES}


def test_an_sdist_without_npm_and_the_wheel_made_of_it(clone: Path, tmp_path: Path) -> None:
    built(clone, tmp_path / "out", env=without_npm(tmp_path))  # the sdist, then its wheel
    assert carried(tmp_path / "out") == set()


@pytest.mark.parametrize("npm", [True, False])
def test_an_editable_install(clone: Path, tmp_path: Path, npm: bool) -> None:
    if npm:
        parts.require("npm", "npm")
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--target", str(tmp_path / "t")]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *options, "--editable", str(clone)],
        env=None if npm else without_npm(tmp_path),
        check=True,
    )
    assert (clone / NOVNC / "core" / "rfb.js").is_file() is npm
