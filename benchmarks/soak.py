"""Very many sessions, one after another and side by side, at the real command: what they leave behind.

    python benchmarks/soak.py                        100,000 sessions
    python benchmarks/soak.py --sessions 5000        a first look

Each has a token of its own and a new connection to the console, says something, hears it back, and goes: most
of them in order, one in eight without a word. Memory is what the processes have for themselves (RssAnon).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import kept
import machine

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from swarm import Door, Refused, tokens
from swarmsite import Swarm, swarming

from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.kit import ConsoleKit

_SAMPLES = 100
_WARM = (0.2, 0.5)  # of the sessions: until then caches and the allocator's pools fill
_SAID = b"0123456789abcdef"
_TTL = 60
_PURGED_SECONDS = 400.0


async def visit(door: Door, token: str, number: int, outcomes: Counter[str]) -> None:
    try:
        console = await door.open(token)
    except Refused as exc:
        outcomes[f"status {exc.status}"] += 1
        return
    console.send(_SAID)
    heard = await console.hears(len(_SAID))
    if number % 8:
        await console.close()
    else:
        console.abort()
        await console.ended.wait()
    outcomes["served" if heard else "lost"] += 1


async def churn(swarm: Swarm, kit: ConsoleKit, sessions: int, at_once: int) -> tuple[Counter[str], list[Any]]:
    """So many sessions, so many side by side; their outcomes, and (sessions, KiB) on the way."""
    outcomes: Counter[str] = Counter()
    numbers = iter(range(sessions))

    async def work() -> None:
        for number in numbers:
            (token,) = await tokens(kit, 1, seconds=_TTL)
            await visit(swarm.door, token, number, outcomes)

    samples = []
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(at_once)]
        while not all(worker.done() for worker in workers):
            done = outcomes.total()
            if done >= len(samples) * sessions / _SAMPLES:
                samples.append((done, private_kib(swarm.site.parent)))
                print(*samples[-1], dict(outcomes), file=sys.stderr)
            await asyncio.sleep(0.1)
    return outcomes, samples


def private_kib(pid: int) -> int:
    """Of a process and its descendants; not what they share with others, which comes and goes with those."""
    pages = [Path(f"/proc/{member}/status").read_text() for member in machine.tree(pid)]
    return sum(int(page.partition("RssAnon:")[2].split()[0]) for page in pages)


def slope(samples: list[tuple[int, int]], share: float) -> float:
    """KiB for each 1000 sessions, in what comes after this share of them."""
    warm = [(done, kib) for done, kib in samples if done >= samples[-1][0] * share]
    return statistics.linear_regression(*zip(*warm, strict=True)).slope * 1000


def descriptors(swarm: Swarm) -> dict[str, int]:
    pids = {"parent": swarm.site.parent, "worker": swarm.site.workers()[0]}
    return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}


def rows(database: Path) -> dict[str, int]:
    """Of each table of the token store."""
    with contextlib.closing(sqlite3.connect(database)) as store:
        return {
            name: store.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("grants", "sessions", "revocations")
        }


async def settled(swarm: Swarm, database: Path) -> dict[str, Any]:
    """What is left once the last ones have gone and what they had has expired."""
    begun = time.monotonic()
    sessions = -1.0
    while time.monotonic() - begun < _PURGED_SECONDS:
        page = await asyncio.to_thread(swarm.site.get, "/metrics")
        live = [line for line in page[1].splitlines() if line.startswith("consolekit_sessions{")]
        sessions = sum(float(line.rpartition(" ")[2]) for line in live)
        if not sessions and not any(rows(database).values()):
            break
        await asyncio.sleep(2.0)
    return {"sessions": sessions, "rows": rows(database), "seconds": round(time.monotonic() - begun)}


async def soak(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with swarming(Path(folder), count=0, workers=1) as swarm:
            database = Path(folder) / "tokens.db"
            kit = build_kit(load(swarm.site.config, env={}))
            try:
                await churn(swarm, kit, 200, options.at_once)  # every thread and pool is there
                await asyncio.sleep(2.0)
                at_first = descriptors(swarm)
                begun = time.monotonic()
                outcomes, samples = await churn(swarm, kit, options.sessions, options.at_once)
                seconds = time.monotonic() - begun
                left = await settled(swarm, database)
            finally:
                await kit.aclose()
            log = swarm.site.served.log.read_text()
            return {
                "sessions": options.sessions,
                "at_once": options.at_once,
                "per_s": round(options.sessions / seconds),
                "outcomes": dict(outcomes),
                "opened": log.count('"session opened"'),
                "closed": log.count('"session closed"'),
                "kib_at": [samples[at] for at in (0, len(samples) // 5, len(samples) // 2, -1)],
                "kib_per_1000_sessions": {
                    f"after {share:.0%}": round(slope(samples, share), 2) for share in _WARM
                },
                "descriptors_before": at_first,
                "descriptors_after": descriptors(swarm),
                "left": left,
            }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=100_000, help="default: 100,000")
    parser.add_argument("--at-once", type=int, default=40, help="side by side; default: 40")
    parser.add_argument("--out", type=Path, default=kept.place("soak"))
    options = parser.parse_args()
    record = {
        "date": kept.now().isoformat(timespec="minutes"),
        "command": shlex.join(["python", "benchmarks/soak.py", *sys.argv[1:]]),
        "machine": machine.describe(),
        "figures": asyncio.run(soak(options)),
    }
    print(json.dumps(record["figures"], indent=2))
    kept.append(options.out, [record])


if __name__ == "__main__":
    main()
