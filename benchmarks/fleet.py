"""Four proxies on two hosts behind HAProxy: how fast a revocation cuts, and what an outage costs.

    python benchmarks/fleet.py                        both stores, about 12 minutes
    python benchmarks/fleet.py --store redis          one of them
    python benchmarks/fleet.py --rounds 20 --outage 10    a first look

It does what ``tests/integration/test_fleet.py`` does (``tests/drills.py``), more often and for longer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kept
import machine

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import drills
import fleet
from fleetstores import STORES

Record = dict[str, Any]


def spread(values: Sequence[float]) -> Record:
    """Median, 99th percentile and worst, in seconds; nothing of nothing."""
    ordered = sorted(values)
    if not values:
        return {}
    ranks = {"median": 0.5, "p99": 0.99, "worst": 1.0}
    return {
        name: round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3) for name, share in ranks.items()
    }


def rounded(value: Any) -> Any:
    """The same with fewer digits."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {str(name): rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


class Notes:
    """Prints each result, and keeps it as a JSON line."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def add(self, what: str, store: str, figures: Record) -> None:
        record = {"what": what, "store": store, "figures": rounded(figures)}
        print(json.dumps(record), flush=True)
        kept.append(self._out, [record])


async def revocations(four: fleet.Fleet, store: str, rounds: int, notes: Notes) -> None:
    done = [await drills.revoke(four, drills.WAYS[at % 4], at) for at in range(rounds)]
    good = [each for each in done if (each["code"], each["again"]) == (drills.REVOKED, 401)]
    for way in (*drills.WAYS, "all"):
        ours = [each for each in good if way in (each["way"], "all")]
        figures = {"way": way, "rounds": sum(way in (each["way"], "all") for each in done), "cut": len(ours)}
        for name in ("since_done", "since_begun", "order"):
            figures[name] = spread([each[name] for each in ours])
        notes.add("revoke", store, figures)
    places = {each.name: each.log.read_text().count('"session opened"') for each in four.proxies}
    notes.add("revoke: consoles at each proxy", store, places)


async def measure(store: str, options: argparse.Namespace, notes: Notes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with fleet.running(store, Path(folder)) as four:
            notes.add("fleet", store, {"hosts": four.network.kind, "proxies": len(four.proxies)})
            await revocations(four, store, options.rounds, notes)
            notes.add("one browser", store, await drills.one_browser(four))
            for how in drills.AWAY:
                figures = await drills.outage(
                    four, how, viewers=options.viewers, seconds=options.outage, steady=3.0
                )
                notes.add("outage", store, figures)
            died = await drills.death(four, viewers=options.viewers, until_forgotten=True)
            notes.add("death", store, died)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=STORES, action="append", help="default: all")
    parser.add_argument("--rounds", type=int, default=100, help="revocations")
    parser.add_argument("--viewers", type=int, default=50, help="consoles that are open meanwhile")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without the store")
    parser.add_argument("--out", type=Path, default=kept.place("fleet"))
    parser.add_argument(
        "--realtime", action="store_true", help="go before all else (root), on a busy machine"
    )
    options = parser.parse_args()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # what it starts has it too
    notes = Notes(options.out)
    notes.add(
        "machine", "", {"date": str(kept.now().date()), "realtime": options.realtime, **machine.describe()}
    )
    for store in options.store or STORES:
        asyncio.run(measure(store, options, notes))


if __name__ == "__main__":
    main()
