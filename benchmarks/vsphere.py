"""What a VMware console costs a vCenter: our way beside a scan for free VNC ports, at a simulated vCenter.

    python benchmarks/vsphere.py                       under a minute; needs what tests with a vCenter need
    python benchmarks/vsphere.py --out FILE.jsonl

README.md says what is compared with what, and what is not. The vCenter is the tests' own: govmomi's
simulator, and before it a front with TLS that counts calls. Both run outside of the process that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import kept
import machine
import vspherewhole

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the vCenter

if TYPE_CHECKING:
    from vcenter import Simulator
    from vcfront import Front

_MACHINES = 1000
_CONSOLES = 200  # opened at the same moment
_SCANS = 8  # at the same moment too; more would only wait longer for the lock
_HUNG = 50  # opens that wait for the vCenter that hangs
_BURSTS = 3  # of so many, beside the one that hangs
_ROUNDS = 3
_FIRST_PORT = 5900
_PATIENCE = 40.0  # seconds that a single measurement may take at the very most
Record = dict[str, Any]


@attrs.frozen
class Place:
    """How a process that is measured finds its vCenters and machines."""

    host: str
    ports: tuple[int, ...]
    username: str
    password: str
    ca_file: str
    machines: tuple[str, ...]
    moids: tuple[str, ...]


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--out", type=Path, help="append the results to this file")
    out = wanted.parse_args().out or kept.place("vsphere")
    records: list[Record] = [_header()]
    with tempfile.TemporaryDirectory() as directory, _vcenters(Path(directory)) as (place, fronts):
        for number in range(_ROUNDS):  # in turn, so that what else happens here meets everybody
            for part in (_measured_ours, _measured_scan, _measured_hung, _measured_whole):
                records += [{**record, "round": number} for record in part(place, fronts)]
    kept.append(out, records)
    print(render(records))
    print(f"\n{out}: {len(records)} records")


def _header() -> Record:
    return {
        "benchmark": "vsphere",
        "started": kept.now().isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "load": os.getloadavg()[0],
        "machines": _MACHINES,
        "rounds": _ROUNDS,
    }


@contextlib.contextmanager
def _vcenters(directory: Path) -> Iterator[tuple[Place, list[Front]]]:
    """A simulated vCenter, seen through two fronts as two: one of them will hang."""
    from vcenter import HOST, PASSWORD, USERNAME, simulated
    from vcfront import fronted

    with contextlib.ExitStack() as stack:
        simulator: Simulator = stack.enter_context(simulated(directory / "sim", tls=False, vms=_MACHINES))
        machines = simulator.machines()
        for number, each in enumerate(machines):  # as Nova leaves them: every machine with a port of its own
            port = {"RemoteDisplay.vnc.port": str(_FIRST_PORT + number)}
            simulator.change(vm=each["moid"], extraConfig=port)
        fronts = [
            stack.enter_context(fronted(simulator.address, simulator.authority.issue_cert(HOST)))
            for _ in range(2)
        ]
        ports = tuple(front.port for front in fronts)
        stack.enter_context(vspherewhole.host(simulator, directory))
        ids = (tuple(each[kind] for each in machines[:_CONSOLES]) for kind in ("instance_uuid", "moid"))
        yield Place(HOST, ports, USERNAME, PASSWORD, str(simulator.ca_file), *ids), fronts


@contextlib.contextmanager
def _process(work: Callable[[Connection, Place], None], place: Place) -> Iterator[Connection]:
    """A fresh process that does the work; it ends with the block, one way or the other."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(there, place), daemon=True)
    process.start()
    there.close()  # so that its end is seen here
    try:
        yield here
        process.join(_PATIENCE)
        if process.exitcode != 0:
            raise ChildProcessError(f"{work.__name__} ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _told(connection: Connection) -> Any:
    if not connection.poll(_PATIENCE):
        raise TimeoutError(f"nothing measured within {_PATIENCE:g} s")
    return connection.recv()


def _record(what: str, told: tuple[list[float], float], front: Front, busy: float) -> Record:
    """One measurement, with the calls that the front has counted since the last one."""
    times, seconds = told
    with front.lock:
        calls, front.calls = front.calls, type(front.calls)()
        front.bodies.clear()
    times = sorted(times)
    figures = {
        "consoles": len(times),
        "per_s": len(times) / seconds,
        "p50_ms": 1000 * statistics.median(times),
        "p95_ms": 1000 * times[min(len(times) - 1, int(0.95 * len(times)))],
        "longest_ms": 1000 * times[-1],
        "calls_each": calls.total() / len(times),
        "busy_cpus": (machine.busy_seconds() - busy) / seconds,
    }
    return {"what": what, "figures": figures, "calls": dict(sorted(calls.items()))}


def _measure(what: str, connection: Connection, front: Front) -> Record:
    """Let the process do its next step, and write down what came of it."""
    _told(connection)  # it is ready
    with front.lock:
        front.calls.clear()
    busy = machine.busy_seconds()
    connection.send("go")
    return _record(what, _told(connection), front, busy)


def _measured_ours(place: Place, fronts: list[Front]) -> Iterator[Record]:
    with _process(_ours, place) as connection:
        yield _measure("fresh", connection, fronts[0])
        yield _measure("warm", connection, fronts[0])
        yield _measure("few", connection, fronts[0])


def _ours(connection: Connection, place: Place) -> None:
    async def run() -> None:
        provider = _provider(place, place.ports[0])
        for count in (_CONSOLES, _CONSOLES, _SCANS):
            _ready(connection)
            connection.send(await _opened(provider, place.machines[:count]))
        await provider.aclose()

    asyncio.run(run())


def _ready(connection: Connection) -> None:
    connection.send("ready")
    connection.recv()


def _provider(place: Place, port: int) -> Any:
    """The provider as an operator configures it: defaults, but for where and who."""
    from consolekit.core.shared import Shared
    from consolekit.providers.webmks.provider import WebMksProvider

    return WebMksProvider.from_config({"vcenter": table(place, port)}, shared=Shared())


def table(place: Place, port: int) -> dict[str, Any]:
    account = {"username": place.username, "password": place.password}
    return {"host": place.host, "port": port, **account, "tls": {"ca_file": place.ca_file}}


def _request(server_id: str) -> Any:
    from consolekit.core.types import ConsoleRequest
    from consolekit.providers.webmks.provider import WEBMKS

    return ConsoleRequest(server_id=server_id, key=WEBMKS, subject="benchmark")


async def _opened(provider: Any, machines: tuple[str, ...], often: int = 1) -> tuple[list[float], float]:
    """Open each machine's console, all at the same moment: how long each took, and all of them."""
    times: list[float] = []
    start = time.perf_counter()
    for _ in range(often):
        times += await asyncio.gather(*(_timed(provider.open(_request(each))) for each in machines))
    return times, time.perf_counter() - start


async def _timed(opening: Awaitable[object]) -> float:
    start = time.perf_counter()
    await opening
    return time.perf_counter() - start


def _measured_scan(place: Place, fronts: list[Front]) -> Iterator[Record]:
    with _process(_scan, place) as connection:
        yield _measure("scan", connection, fronts[0])


def _scan(connection: Connection, place: Place) -> None:
    """Find a free VNC port for each of some consoles, wanted at the same moment, under one lock."""
    from pyVim.connect import Disconnect, SmartConnect
    from pyVmomi import vim

    context = ssl.create_default_context(cafile=place.ca_file)
    service = SmartConnect(
        host=place.host, port=place.ports[0], user=place.username, pwd=place.password, sslContext=context
    )
    content = service.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    lock, taken = threading.Lock(), set[int]()
    start = 0.0

    def one(_: int) -> float:
        with lock:
            used = _used_ports(content.propertyCollector, view) | taken
            taken.add(next(port for port in range(_FIRST_PORT, 65536) if port not in used))
        return time.perf_counter() - start

    with ThreadPoolExecutor(_SCANS) as threads:
        _ready(connection)
        start = time.perf_counter()
        times = list(threads.map(one, range(_SCANS)))
        connection.send((times, time.perf_counter() - start))
    if min(taken) != _FIRST_PORT + _MACHINES:
        raise AssertionError("the scan did not see every machine's port")
    Disconnect(service)


def _used_ports(collector: Any, view: Any) -> set[int]:
    from pyVmomi import vim, vmodl

    query = vmodl.query.PropertyCollector
    members = query.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
    spec = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=view, skip=True, selectSet=[members])],
        propSet=[query.PropertySpec(type=vim.VirtualMachine, all=False, pathSet=["config.extraConfig"])],
    )
    used: set[int] = set()
    answer = collector.RetrievePropertiesEx([spec], query.RetrieveOptions(maxObjects=100))
    while answer is not None:
        for item in answer.objects:
            for option in item.propSet[0].val:
                if option.key == "RemoteDisplay.vnc.port":
                    used.add(int(option.value))
        answer = collector.ContinueRetrievePropertiesEx(answer.token) if answer.token else None
    return used


def _measured_hung(place: Place, fronts: list[Front]) -> Iterator[Record]:
    yield from _hung(_beside, ("alone", "beside"), place, fronts)


def _measured_whole(place: Place, fronts: list[Front]) -> Iterator[Record]:
    yield from _hung(vspherewhole.beside, ("whole alone", "whole beside"), place, fronts)


def _hung(
    work: Callable[[Connection, Place], None], names: tuple[str, str], place: Place, fronts: list[Front]
) -> Iterator[Record]:
    from vcfront import hang

    well, ill = fronts
    with _process(work, place) as connection:
        yield _measure(names[0], connection, well)
        _told(connection)  # both are logged in
        ill.released.clear()
        ill.when("*", hang)
        connection.send("hangs")
        if not ill.hung.acquire(timeout=_PATIENCE):
            raise TimeoutError("nothing hangs")
        try:
            record = _measure(names[1], connection, well)
            if not _told(connection):
                raise AssertionError("the vCenter that hangs has answered")
            yield record
        finally:
            ill.as_usual()
            while ill.hung.acquire(blocking=False):
                pass


def _beside(connection: Connection, place: Place) -> None:
    async def run() -> None:
        well, ill = (_provider(place, port) for port in place.ports)
        await asyncio.gather(_opened(well, place.machines), ill.open(_request(place.machines[0])))
        _ready(connection)
        connection.send(await _opened(well, place.machines, _BURSTS))
        _ready(connection)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(ill.open(_request(place.machines[n]))) for n in range(_HUNG)]
            await asyncio.sleep(0)  # they have begun
            await asyncio.to_thread(_ready, connection)
            connection.send(await _opened(well, place.machines, _BURSTS))
            connection.send(not any(task.done() for task in waiting))
            for task in waiting:
                task.cancel()
        await well.aclose()
        await ill.aclose()

    asyncio.run(run())


_COLUMNS = {
    "fresh": f"consolekit, fresh process, {_CONSOLES} at once",
    "warm": f"the same, warm, {_CONSOLES} at once",
    "few": f"the same, warm, {_SCANS} at once",
    "scan": f"scan for a free VNC port, {_SCANS} at once",
}
_ROWS = (
    ("per_s", "consoles per second"),
    ("p50_ms", "one console, median, ms"),
    ("p95_ms", "95 of 100 within, ms"),
    ("calls_each", "vCenter calls per console"),
)


def render(records: list[Record]) -> str:
    """Markdown: medians of the rounds; the last column is ours as a multiple of the scan, as many at once."""
    lines = [
        "| | " + " | ".join(_COLUMNS.values()) + f" | {_SCANS} consoles : {_SCANS} scans |",
        "| --- |" + " ---: |" * (1 + len(_COLUMNS)),
    ]
    for figure, title in _ROWS:
        values = [_median(records, what, figure) for what in _COLUMNS]
        cells = [*map(_plain, values), f"x{_plain(values[-2] / values[-1])}"]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines.append(f"| machines read per console | 1 | 1 | 1 | {_MACHINES:,} | x{1 / _MACHINES} |")
    methods = sorted({name for record in records for name in record.get("calls", ())})
    for method in methods:
        counts = [_calls(records, what, method) for what in _COLUMNS]
        if any(counts):
            lines.append(f"| &nbsp; {method} | " + " | ".join([*map(_plain, counts), ""]) + " |")
    second = _two(records, "", f"{_CONSOLES} at once, warm, two vCenters")
    third = _two(records, "whole ", f"{vspherewhole.CONSOLES} browsers at once through one gateway")
    return "\n".join([*lines, "", *second, "", *third])


def _two(records: list[Record], which: str, title: str) -> list[str]:
    lines = [
        f"| {title} | both well | {_HUNG} wait for one that hangs | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    for figure, title in _ROWS:
        alone, beside = (_median(records, which + what, figure) for what in ("alone", "beside"))
        lines.append(
            f"| {title} (the other's) | {_plain(alone)} | {_plain(beside)} | x{_plain(beside / alone)} |"
        )
    return lines


def _median(records: list[Record], what: str, figure: str) -> float:
    return statistics.median(r["figures"][figure] for r in records if r.get("what") == what)


def _calls(records: list[Record], what: str, method: str) -> float:
    found = [r for r in records if r.get("what") == what]
    return statistics.median(r["calls"].get(method, 0) / r["figures"]["consoles"] for r in found)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


if __name__ == "__main__":
    main()
