"""What opening the viewer page costs the gateway, with a browser that was never here and with one that was.

    python benchmarks/page.py                under a minute; needs Chromium (Debian: chromium)
    python benchmarks/page.py --rounds 20    more pages, for a quieter figure

Real Chromium, real ``consolekit serve``, real QEMU. CPU is that of all the gateway's processes, from the
page's address to the console on the screen, the console's own connection included. Requests are what the
gateway logs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import kept
import machine
from hypervisors import qemu
from playwright.sync_api import BrowserContext, sync_playwright
from served import Served, serving

LAB = '[providers.lab]\nuse = "vnc"\n[providers.lab.servers.desk]\naddress = "{address}"\n'
CONNECTED = "body[data-state=connected]"


def open_page(context: BrowserContext, gateway: Served) -> dict[str, float]:
    """One page to its console, and what it cost."""
    link = str(gateway.link("desk")["url"])
    before, asked = machine.cpu_seconds([gateway.process.pid]), gateway.log.read_text().count(" GET ")
    page = context.new_page()
    page.goto(link)
    page.wait_for_selector(CONNECTED)
    cpu = machine.cpu_seconds([gateway.process.pid]) - before
    requests = gateway.log.read_text().count(" GET ") - asked
    page.close()
    return {"cpu_ms": cpu * 1e3, "requests": requests}


def measure(gateway: Served, rounds: int) -> list[dict[str, Any]]:
    """Both kinds of browsers, in turn."""
    results: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        known = browser.new_context()
        open_page(known, gateway)
        for _ in range(rounds):
            with browser.new_context() as fresh:
                results.append({"browser": "was never here", **open_page(fresh, gateway)})
            results.append({"browser": "was here before", **open_page(known, gateway)})
        browser.close()
    return results


def main() -> None:
    """Measure, print medians, keep every measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="pages of each kind; default: 10")
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory() as directory,
        qemu() as guest,
        serving(Path(directory), LAB.format(address=guest.address)) as gateway,
    ):
        results = measure(gateway, rounds)
    for kind in ("was never here", "was here before"):
        found = [result for result in results if result["browser"] == kind]
        requests, cpu = (statistics.median(each[name] for each in found) for name in ("requests", "cpu_ms"))
        print(f"a browser that {kind}: {requests:.0f} requests, {cpu:.1f} ms of CPU")
    kept.append(kept.place("page"), [machine.describe(), *results])


if __name__ == "__main__":
    main()
