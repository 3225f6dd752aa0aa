"""Measures consolekit beside other proxies: in one run, in turn, on the same machine.

    python benchmarks/run.py                    all of it, about 40 minutes
    python benchmarks/run.py --quick            a first look, about 2 minutes
    python benchmarks/run.py --scenario down,connect --against websockify --rounds 5

README.md says what each scenario is, and what is fair about it and what is not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "plugin"))  # the provider; links are made in this process

try:
    import machine
    import table
    from lab import Lab, LabError
    from passers import Direct, Haproxy, Nginx, NodeBridge
    from peers import Consolekit, Peer, Websockify
    from scenarios import SCENARIOS, Scenario
except ModuleNotFoundError as exc:
    sys.exit(
        f"{exc.name} is not installed here: pip install -e . --group bench, or use that environment's python"
    )

RESULTS = HERE / "results"
PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Consolekit(), Websockify(), Haproxy(), Nginx(), NodeBridge(), Direct())
}
_QUICK = "down,up-64k,ping-100,connect,idle"
_QUIET = 0.15  # CPUs that others may have used meanwhile; above, a measurement is repeated
_TRIES = 3

Write = Callable[[dict[str, Any]], None]


def main() -> None:
    wanted = _arguments()
    peers = _installed(wanted.against.split(","))
    scenarios = [SCENARIOS[name] for name in wanted.scenario.split(",")]
    records: list[dict[str, Any]] = []
    path = wanted.out or RESULTS / f"{_now():%Y-%m-%dT%H%M}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file, Lab(realtime=wanted.realtime) as lab:

        def write(record: dict[str, Any]) -> None:
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()

        write(_header(peers))
        for scenario in scenarios:
            # with --realtime others only get what we leave: nothing to wait for
            _run(lab, scenario, peers, wanted.rounds, 1 if wanted.realtime else _TRIES, write)
    print(table.render(records))
    print(f"\nresults: {path}", file=sys.stderr)


def _run(lab: Lab, scenario: Scenario, peers: list[Peer], rounds: int, tries: int, write: Write) -> None:
    """One scenario: every peer in turn, so many times."""
    for turn in range(rounds):
        for peer in peers:
            fitted = _fitted(scenario, peer)
            if fitted is None:
                continue
            try:
                figures = _measured(lab, peer, fitted, tries)
            except LabError as exc:  # the others, and the other rounds, go on
                print(f"{scenario.name:14} {peer.name:11} left out of this round: {exc}", file=sys.stderr)
                lab.drop(peer, fitted)
                continue
            write({"scenario": scenario.name, "peer": peer.name, "round": turn, "figures": figures})
            shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            print(f"{scenario.name:14} {peer.name:11} {shown}", file=sys.stderr)


def _fitted(scenario: Scenario, peer: Peer) -> Scenario | None:
    """The scenario as the peer can take part in it; None if it cannot."""
    if scenario.console not in peer.consoles:
        return None
    return scenario.fitted(peer.most_sessions)


def _measured(lab: Lab, peer: Peer, scenario: Scenario, tries: int) -> dict[str, float]:
    """The quietest of so many measurements; the first that was quiet enough ends it."""
    done = []
    for _ in range(tries):
        reading, foreign = lab.measure(peer, scenario)
        done.append((foreign, reading))
        if foreign <= _QUIET:
            break
    foreign, reading = min(done, key=lambda pair: pair[0])
    return scenario.figures(scenario, reading) | {"foreign_cpus": foreign}


def _installed(names: list[str]) -> list[Peer]:
    peers = []
    for name in ["consolekit", *names]:
        if name and name not in PEERS:
            sys.exit(f"there is no peer {name}: {', '.join(PEERS)}")
        if name and PEERS[name].version():
            peers.append(PEERS[name])
        elif name:
            print(f"{name} is not installed: left out (README.md says where it comes from)", file=sys.stderr)
    return list(dict.fromkeys(peers))


def _header(peers: list[Peer]) -> dict[str, Any]:
    return {
        "date": _now().isoformat(timespec="minutes"),
        "command": shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]]),
        "machine": machine.describe(),
        "versions": {peer.name: peer.version() for peer in peers},
    }


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = "\n".join(f"  {name:14} {scenario.about}" for name, scenario in SCENARIOS.items())
    parser.epilog = f"scenarios:\n{names}"
    parser.add_argument("--quick", action="store_true", help=f"one round of {_QUICK}")
    parser.add_argument("--scenario", help="which, with commas between; default: all")
    parser.add_argument(
        "--against", default="websockify,haproxy,nginx,node,direct", help="which peers; empty: none"
    )
    parser.add_argument("--rounds", type=int, help="how often; default: 5")
    parser.add_argument(
        "--realtime", action="store_true", help="go before all else (root), on a busy machine"
    )
    parser.add_argument("--out", type=Path, help="where results are added; default: a new file of results/")
    wanted = parser.parse_args()
    wanted.rounds = wanted.rounds or (1 if wanted.quick else 5)
    wanted.scenario = wanted.scenario or (_QUICK if wanted.quick else ",".join(SCENARIOS))
    if unknown := set(wanted.scenario.split(",")) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    return wanted


if __name__ == "__main__":
    try:
        main()
    except LabError as exc:
        sys.exit(f"benchmarks: {exc}")
