"""Ten reloads and two upgrades while viewers come and stay: who is refused, what is lost; killed workers.

    python benchmarks/reload.py                      200 new viewers a second, 20 that stay; 1-2 minutes
    python benchmarks/reload.py --rate 50 --reloads 3 --upgrades 1    a first look

It does what ``tests/integration/test_reload.py`` does (``tests/reloading.py``), more often and for longer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kept
import machine

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from reloading import Load, summary, under_load
from workersite import working

_CODE = re.compile(r'"code": "(\w+)"')


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    turns = options.reloads + options.upgrades
    most = int(options.rate * turns * 12)  # more than enough: each takes a few seconds
    with tempfile.TemporaryDirectory() as folder:
        async with under_load(
            Path(folder), rate=options.rate, streams=options.streams, most=most, workers=options.workers
        ) as load:
            begun = time.monotonic()
            reloads = [await _turn(load, "reload", load.site.reload) for _ in range(options.reloads)]
            upgrades = [await _turn(load, "upgrade", load.site.upgrade) for _ in range(options.upgrades)]
            seconds = time.monotonic() - begun
            refusals = Counter(_CODE.findall(load.site.served.log.read_text()))
        return {
            "reloads": len(reloads),
            "upgrades": len(upgrades),
            "reload_s": [round(each, 2) for each in reloads],
            "upgrade_s": [round(each, 2) for each in upgrades],
            "seconds": round(seconds, 1),
            "new_per_s": round(load.newcomers.outcomes.total() / seconds, 1),
            **summary(load),
            "codes": dict(refusals),
        }


def killed(times: int) -> list[float]:
    """Seconds from a worker's SIGKILL until all are ready again, nobody else asking for anything."""
    with tempfile.TemporaryDirectory() as folder, working(Path(folder)) as site:
        found = []
        for _ in range(times):
            time.sleep(6.0)  # one that dies soon after its start twice is started again later
            found.append(round(site.kill(), 2))
        return found


async def _turn(load: Load, what: str, order: Callable[[], object]) -> float:
    """One of them, and a moment in which nothing else happens; the seconds until the new ones served."""
    parent, begun = load.site.parent, time.monotonic()
    await asyncio.to_thread(order)
    seconds = time.monotonic() - begun
    if what == "upgrade" and load.site.parent == parent:
        sys.exit(f"the upgrade did not come up: {load.site.served.log.read_text()}")
    print(f"{what}: {seconds:.2f} s; so far {dict(load.newcomers.outcomes)}", file=sys.stderr)
    await asyncio.sleep(1.0)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200.0, help="new viewers a second; default: 200")
    parser.add_argument("--streams", type=int, default=20, help="viewers that stay; default: 20")
    parser.add_argument("--reloads", type=int, default=10)
    parser.add_argument("--upgrades", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5, help="of a worker, afterwards; default: 5")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=kept.place("reload"))
    parser.add_argument(
        "--realtime", action="store_true", help="go before all else (root), on a busy machine"
    )
    options = parser.parse_args()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    figures = asyncio.run(measure(options))
    record = {
        "date": kept.now().isoformat(timespec="minutes"),
        "command": shlex.join(["python", "benchmarks/reload.py", *sys.argv[1:]]),
        "machine": machine.describe(),
        "figures": figures | {"worker_again_s": killed(options.kills)},
    }
    print(json.dumps(record["figures"], indent=2))
    kept.append(options.out, [record])


if __name__ == "__main__":
    main()
