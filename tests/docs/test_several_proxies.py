"""The page about several proxies: its figures are those of the kept run, its configuration is a good one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme
from parts import require

from consolekit.config.load import load

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "howto" / "several-proxies.md"


def kept() -> dict[tuple[str, str, str], dict[str, Any]]:
    """Figures by store, what, and which of it; the latest run."""
    newest = max((ROOT / "benchmarks" / "results").glob("fleet-*.jsonl"))
    found = {}
    for line in newest.read_text().splitlines():
        record = json.loads(line)
        which = record["figures"].get("way") or record["figures"].get("how") or ""
        found[record["store"], record["what"], which] = record["figures"]
    return found


def column(run: dict[tuple[str, str, str], dict[str, Any]], store: str) -> list[str]:
    every = run[store, "revoke", "all"]
    api = run[store, "revoke", "grant by the API"]["since_begun"]
    commands = [
        figures["since_begun"]
        for (of, what, way), figures in run.items()
        if (of, what) == (store, "revoke") and way.endswith("by the command")
    ]
    assert len(commands) == 3
    middle = sorted(each["median"] for each in commands)[1]
    cells = [
        f"{every['cut']}",
        f"{api['median']:.3f} s, {api['worst']:.3f} s",
        f"{middle:.2f} s, {max(each['worst'] for each in commands):.2f} s",
    ]
    for how in ("frozen", "killed"):
        away = run[store, "outage", how]
        assert {status for each in away["new"].values() for status in each["statuses"]} == {"503"}
        slowest = max(each["slowest"] for each in away["new"].values())
        cells += [f"{away['lived']} of {away['viewers']}", f"{slowest:.2f} s", f"{away['healed']:.2f} s"]
    died = run[store, "death", ""]
    assert died["viewers"] == died["lived"] + died["ended"] == 50
    return [*cells, f"{died['ended']}, {died['resumed']}"]


def test_its_figures_are_those_of_the_run_that_is_kept() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    shown = [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in lines[2:]]
    run = kept()
    assert shown == [list(row) for row in zip(column(run, "redis"), column(run, "postgresql"), strict=True)]


def test_its_configuration_is_one() -> None:
    config = load(ROOT / "deploy" / "several-proxies.toml", env={}).config
    assert config.tokens.store == "redis"
    assert config.proxy.trusted_proxies


@pytest.mark.external
def test_its_haproxy_configuration_is_one_with_tls_too(tmp_path: Path) -> None:
    program = require("haproxy", "haproxy")
    pem = tmp_path / "consoles.pem"
    trustme.CA().issue_cert("consoles.example.org").private_key_and_cert_chain_pem.write_to_path(pem)
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    assert text.count("/etc/haproxy/consoles.pem") == 1
    config = tmp_path / "haproxy.cfg"
    config.write_text(text.replace("/etc/haproxy/consoles.pem", str(pem)))
    done = subprocess.run([program, "-c", "-f", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
