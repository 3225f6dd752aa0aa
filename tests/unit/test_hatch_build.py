"""hatch_build.py: noVNC comes in when npm is there, and the build goes on when it is not."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE_NPM = """#!/bin/sh
test -f package.json && test -f package-lock.json || exit 9
echo "$@" > "{log}"
there=node_modules/@novnc/novnc
/bin/mkdir -p $there/core $there/vendor/pako $there/docs $there/other
echo code > $there/core/rfb.js; echo mit > $there/vendor/pako/LICENSE
echo mpl > $there/LICENSE.txt; echo us > $there/AUTHORS; echo no > $there/other/no.js
echo text > $there/docs/LICENSE.MPL-2.0; echo api > $there/docs/API.md
echo '{{"version": "{version}"}}' > $there/package.json
"""


def load() -> Any:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hatch_build = load()


class Warnings:
    def __init__(self) -> None:
        self.said: list[str] = []

    def display_warning(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that pins 1.7.0, and a PATH with nothing on it."""
    root = tmp_path / "project"
    (root / "consolekit" / "web").mkdir(parents=True)
    (root / "package.json").write_text("{}")
    lock = {"packages": {"node_modules/@novnc/novnc": {"version": "1.7.0"}}}
    (root / "package-lock.json").write_text(json.dumps(lock))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return root


def put_npm(project: Path, script: str = FAKE_NPM, version: str = "1.7.0") -> Path:
    log = project.parent / "npm.log"
    npm = project.parent / "bin" / "npm"
    npm.write_text(script.format(log=log, version=version))
    npm.chmod(0o755)
    return log


def build(project: Path) -> list[str]:
    app = Warnings()
    hook = hatch_build.NoVncHook(str(project), {}, None, None, "", "wheel", app)
    hook.initialize("standard", {})
    return app.said


def files(project: Path) -> list[str]:
    target = project / "consolekit" / "web" / "novnc"
    return sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())


def test_novnc_comes_with_its_licences(project: Path) -> None:
    log = put_npm(project)
    assert build(project) == []
    assert files(project) == [
        "AUTHORS",
        "LICENSE.txt",
        "core/rfb.js",
        "docs/LICENSE.MPL-2.0",
        "package.json",
        "vendor/pako/LICENSE",
    ]
    assert log.read_text().startswith("ci --ignore-scripts")
    assert not (project / "node_modules").exists()


def test_what_is_there_is_not_fetched_again(project: Path) -> None:
    log = put_npm(project)
    build(project)
    log.unlink()
    assert build(project) == []
    assert not log.exists()


def test_another_version_or_half_a_copy_is_replaced(project: Path) -> None:
    put_npm(project)
    target = project / "consolekit" / "web" / "novnc"
    (target / "core").mkdir(parents=True)
    (target / "core" / "rfb.js").write_text("old")
    (target / "stale.js").write_text("old")
    assert build(project) == []
    assert "stale.js" not in files(project)
    (target / "package.json").write_text('{"version": "1.3.0"}')
    assert build(project) == []
    assert hatch_build.installed_version(target) == "1.7.0"


def test_without_npm_the_build_goes_on(project: Path) -> None:
    (warning,) = build(project)
    assert "no npm on PATH" in warning
    assert "apt-get install npm" in warning
    assert "--web-root" in warning
    assert files(project) == []


def test_an_npm_that_fails_is_quoted(project: Path) -> None:
    put_npm(project, "#!/bin/sh\necho first\necho no route to registry\nexit 1\n")
    (warning,) = build(project)
    assert "no route to registry" in warning
    assert files(project) == []


def test_an_npm_that_hangs_is_stopped(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_npm(project, "#!/bin/sh\nexec /bin/cat /dev/zero > /dev/null\n")
    monkeypatch.setattr(hatch_build, "NPM_TIMEOUT", 0.05)
    (warning,) = build(project)
    assert "timed out" in warning


def test_an_npm_that_installs_something_else(project: Path) -> None:
    put_npm(project, version="1.6.0")
    (warning,) = build(project)
    assert "did not install @novnc/novnc 1.7.0" in warning


def test_the_lock_pins_hash_and_names_no_host() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    manifest = json.loads((ROOT / "package.json").read_text())
    pinned = lock["packages"]["node_modules/@novnc/novnc"]
    assert pinned["version"] == manifest["dependencies"]["@novnc/novnc"]
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", pinned["integrity"])
    assert "://" not in (ROOT / "package-lock.json").read_text()
    assert "resolved" not in pinned
