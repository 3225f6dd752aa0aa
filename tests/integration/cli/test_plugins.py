"""Providers of strangers, as the program meets them: one that is broken takes nobody with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

GOOD = """
from consolekit import ConsoleKey, ConsoleProvider, Endpoint
class Good(ConsoleProvider):
    keys = (ConsoleKey("serial", "serial"),)
    async def open(self, request): return Endpoint(host="192.0.2.1", port=1)
"""
BROKEN = {
    "exits": ("raise SystemExit(0)", "importing it raised SystemExit: 0"),
    "interrupts": ("class Odd(BaseException): pass\nraise Odd('no')", "importing it raised Odd: no"),
    "needs": ("import a_module_of_nobody", "install the module a_module_of_nobody"),
    "isnone": ("Provider = 7", "it is not a subclass of ConsoleProvider"),
    "older": (GOOD.replace("Good(", "Provider(") + "    api_version = 0\n", "written for contract version 0"),
}


def ship(folder: Path, name: str, source: str, attribute: str = "Provider") -> None:
    """Put a distribution there, as pip does."""
    (folder / f"plug_{name}.py").write_text(source)
    info = folder / f"dist_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[consolekit.providers]\n{name} = plug_{name}:{attribute}\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration with a good provider among those that are broken in each way."""
    ship(tmp_path, "good", GOOD, "Good")
    tables = ['[providers.lab]\nuse = "good"\n']
    for name, (source, _) in BROKEN.items():
        ship(tmp_path, name, source)
        tables.append(f'[providers.{name}]\nuse = "{name}"\n')
    ship(tmp_path, "asleep", "raise SystemExit('imported')")
    (tmp_path / "consolekit.toml").write_text("".join(tables))
    return tmp_path


def listed(site: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    script = "from consolekit.cli.main import main; main()"
    env = {name: value for name, value in os.environ.items() if not name.startswith("CONSOLEKIT")}
    env |= {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "HOME": str(site)}
    command = [sys.executable, "-c", script, "providers", "list", "--json", *words]
    done = subprocess.run(command, cwd=site, env=env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_each_fails_alone_with_its_reason_and_its_cure(site: Path) -> None:
    code, rows = listed(site, "-c", "consolekit.toml")
    assert code == 1
    by_name = {row["name"] or row["use"]: row for row in rows}
    good = by_name["lab"]
    assert (good["state"], good["pairs"], good["contract"]) == ("ok", ["serial/serial"], 1)
    assert (good["distribution"], good["version"]) == ("dist-good", "1.0")
    for name, (_, reason) in BROKEN.items():
        row = by_name[name]
        assert (row["state"], row["distribution"], row["contract"]) == ("failed", f"dist-{name}", None)
        assert reason in row["problems"][0], name
    assert by_name["asleep"]["state"] == "disabled"


def test_without_a_configuration_none_is_imported(site: Path) -> None:
    code, rows = listed(site)
    assert code == 0
    assert {row["state"] for row in rows} == {"disabled"}
