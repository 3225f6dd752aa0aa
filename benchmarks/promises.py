"""Promises that are about times and numbers, measured on the real command with its defaults.

    python benchmarks/promises.py                     all of them, about 5 minutes
    python benchmarks/promises.py --only drain,abuser
    python benchmarks/promises.py --churn 1000        a first look

What costs how much beside other proxies is ``run.py``'s, reloads are ``reload.py``'s, shared stores are
``fleet.py``'s. Viewers, console servers and the gateway share the CPUs here: times are upper bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import re
import shlex
import signal
import socket
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import attrs
import kept
import machine

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from hostile import full_backlog, silence
from served import SETTINGS, Served, serving
from swarm import Console, Door, Refused, echoing, header, tokens

from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.kit import ConsoleKit

Figures = dict[str, Any]
LIMITS = """
[limits]  # everybody comes from one address
sessions = 20000
per_server = 20000
per_subject = 20000
per_address = 20000
pending = {pending}
pending_per_address = {pending}
"""


@attrs.frozen
class Site:
    """A gateway that serves, and what makes its tokens."""

    served: Served
    kit: ConsoleKit
    folder: Path

    @property
    def door(self) -> Door:
        return Door(self.served.urls["proxy"], patience=60.0)

    @property
    def port(self) -> int:
        return int(self.served.urls["proxy"].rpartition(":")[2])

    def pss(self) -> int:
        return machine.pss_kib(self.served.process.pid)

    def sample(self, name: str) -> float:
        """The sum of a metric's samples."""
        with urllib.request.urlopen(self.served.urls["admin"] + "/metrics") as answer:
            text = answer.read().decode()
        return sum(float(found) for found in re.findall(rf"(?m)^{re.escape(name)}(?:{{.*}})? (\S+)$", text))

    def worst_lag(self) -> float:
        """The smallest bound, in seconds, that no sample of the event loop's lag has been above."""
        with urllib.request.urlopen(self.served.urls["admin"] + "/metrics") as answer:
            text = answer.read().decode()
        found = re.findall(r'(?m)^consolekit_loop_lag_seconds_bucket{le="(\S+)"} (\S+)$', text)
        buckets = [(float(bound), float(count)) for bound, count in found]
        return min(bound for bound, count in buckets if count == buckets[-1][1])


@contextlib.asynccontextmanager
async def site(
    servers: dict[str, str], *, drain: int = 0, use: str = "serial", pending: int = 5000
) -> AsyncIterator[Site]:
    """One process with the defaults, but for limits that count viewers of one address."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        text = SETTINGS.replace('level = "debug"', 'level = "info"').replace(
            "drain_seconds = 0", f"drain_seconds = {drain}"
        )
        table = "".join(f'{name} = {{ address = "{place}" }}\n' for name, place in servers.items())
        lab = f'[providers.lab]\nuse = "{use}"\n[providers.lab.servers]\n{table}'
        settings = text + LIMITS.format(pending=pending)
        served = await asyncio.to_thread(stack.enter_context, serving(folder, lab, settings=settings))
        kit = build_kit(load(folder / "consolekit.toml", env={}))
        stack.push_async_callback(kit.aclose)
        yield Site(served, kit, folder)


def spread(seconds: Sequence[float]) -> Figures:
    """In milliseconds."""
    ordered = sorted(seconds)
    at = {"median": 0.5, "p99": 0.99, "worst": 1.0}
    return {
        name: round(1000 * ordered[max(0, round(share * len(ordered)) - 1)], 1) for name, share in at.items()
    }


async def close_all(consoles: Sequence[Console]) -> None:
    for console in consoles:
        if not console.ended.is_set():
            console.abort()
    await asyncio.gather(*(console.ended.wait() for console in consoles))


# ---- P2: stuck both ways


async def stuck(options: argparse.Namespace) -> Figures:
    """Viewers that read nothing of a server that floods, and servers that read nothing of their viewers."""
    found: Figures = {"sessions": options.stuck}
    waiting = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(65536))
                await writer.drain()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.close()

    for way, serve in (("viewer", flood), ("server", deaf)):
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**16)
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with site({"a": place}) as here:
            before, consoles = here.pss(), []
            for token in await tokens(here.kit, options.stuck):
                console = await here.door.open(token)
                if way == "viewer":
                    console.transport.pause_reading()
                else:
                    for _ in range(200):
                        console.send(bytes(65536))
                consoles.append(console)
            begun = time.monotonic()
            most, over = 0, 0.0
            while over == 0.0 and time.monotonic() - begun < 120:
                await asyncio.sleep(1)
                most = max(most, here.pss())
                if not await asyncio.to_thread(here.sample, "consolekit_sessions"):
                    over = time.monotonic() - begun
            found[way] = {
                "KiB each": round((most - before) / options.stuck, 1),
                "ended after s": round(over, 1),
            }
            waiting.set()
            await close_all(consoles)
            waiting.clear()
        server.close()
    return found


# ---- P4: who shows nothing


async def strangers(options: argparse.Namespace) -> Figures:
    """500 connections that say nothing, and 50 viewers who come meanwhile."""
    async with echoing() as place, site({"a": place}) as here:
        wanted = await tokens(here.kit, 50)
        before, begun = here.pss(), time.monotonic()
        silent = [await asyncio.open_connection("127.0.0.1", here.port) for _ in range(500)]
        each = (here.pss() - before) / len(silent)
        took, consoles = [], []
        for token in wanted:
            at = time.monotonic()
            consoles.append(await here.door.open(token))
            took.append(time.monotonic() - at)
        ends = await asyncio.gather(*(reader.read() for reader, _ in silent))
        seconds = time.monotonic() - begun
        for _, writer in silent:
            writer.close()
        await close_all(consoles)
        return {
            "silent": len(ends),
            "KiB each": round(each, 1),
            "all closed after s": round(seconds, 1),
            "viewers served": len(took),
            "their opening, ms": spread(took),
        }


# ---- P9: the link goes down


async def link(options: argparse.Namespace) -> Figures:
    """Default pings; the viewer's only link is taken down under a live session."""
    script = HERE.parent / "tests" / "vanishing.py"
    child = await asyncio.create_subprocess_exec(
        "unshare", "-rn", sys.executable, str(script), "15", stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    at = {line.decode().strip(): time.monotonic() async for line in child.stdout}
    await child.wait()
    return {
        "noticed after s": round(at["reaped"] - at["down"], 1),
        "server told after another s": round(at["told"] - at["reaped"], 3),
    }


# ---- P10: time to fail


async def deadlines(options: argparse.Namespace) -> Figures:
    """Seconds to the refusal: a filtered port, a silent VNC server, a locked store."""
    found: Figures = {}

    async def refused(here: Site, token: str) -> Figures:
        begun = time.monotonic()
        try:
            await here.door.open(token)
        except Refused as exc:
            return {"status": exc.status, "s": round(time.monotonic() - begun, 2)}
        return {"status": 101}

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    mute = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with full_backlog() as filtered:
        async with site({"a": f"127.0.0.1:{filtered.port}", "b": mute}, use="vnc") as here:
            for what, name in (("filtered port", "a"), ("silent server", "b"), ("locked store", "b")):
                link = await asyncio.to_thread(here.served.link, name, "vnc/novnc", ttl_seconds=600)
                token = str(link["url"]).partition("token=")[2].partition("&")[0]
                lock = sqlite3.connect(here.folder / "tokens.db", isolation_level=None)
                if what == "locked store":
                    lock.execute("BEGIN EXCLUSIVE")
                found[what] = await refused(here, token)
                lock.close()
    server.close()
    return found


# ---- P11: whose console


async def churn(options: argparse.Namespace) -> Figures:
    """Sessions of many servers, each of which says its name; 64 at a time."""
    servers: dict[str, str] = {}
    wrong: Counter[str] = Counter()
    async with contextlib.AsyncExitStack() as stack:
        for at in range(200):
            name = f"server-{at:03}"

            async def say(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name
            ) -> None:
                with contextlib.suppress(ConnectionError):
                    writer.write(name.encode())
                    await reader.read()
                writer.close()

            listening = await asyncio.start_server(say, "127.0.0.1", 0)
            stack.callback(listening.close)
            servers[name] = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        here = await stack.enter_async_context(site(servers))
        names, begun = list(servers), time.monotonic()

        async def work(first: int) -> None:
            for at in range(first, options.churn, 64):
                name, heard = names[at * 7 % 200], bytearray()
                ((token),) = await tokens(here.kit, 1, server=name)
                console = await here.door.open(token, heard.extend)
                await console.hears(len(name))
                wrong["misrouted" if bytes(heard) != name.encode() else "right"] += 1
                await console.close()

        await asyncio.gather(*(work(first) for first in range(64)))
        seconds = time.monotonic() - begun
    return {
        "sessions": options.churn,
        "servers": 200,
        "misrouted": wrong["misrouted"],
        "right": wrong["right"],
        "per s": round(options.churn / seconds),
    }


# ---- P12: SIGTERM


async def drain(options: argparse.Namespace) -> Figures:
    """500 live sessions; SIGTERM with 3 s to drain."""
    async with echoing() as place, site({"a": place}, drain=3) as here:
        given = await tokens(here.kit, 501)
        consoles = [await here.door.open(token) for token in given[:500]]
        process, begun = here.served.process, time.monotonic()
        process.send_signal(signal.SIGTERM)
        while True:
            at = time.monotonic()
            try:
                (await asyncio.open_connection("127.0.0.1", here.port))[1].close()
            except OSError:
                break
        refusing = at - begun
        consoles[0].send(b"still here")
        alive = await consoles[0].hears(10)
        await asyncio.gather(*(console.ended.wait() for console in consoles))
        code = await asyncio.to_thread(process.wait, 30)
        seconds = time.monotonic() - begun
        noise = re.findall(
            r"never retrieved|was destroyed|ResourceWarning|Traceback", here.served.log.read_text()
        )
        return {
            "sessions": 500,
            "nobody accepted after ms": round(1000 * refusing, 1),
            "live ones lived on": alive,
            "close codes": dict(Counter(console.code for console in consoles)),
            "exit code": code,
            "ended after s": round(seconds, 2),
            "warnings in its log": len(noise),
        }


# ---- P15: one abuser


def _abuse(port: int, token: str, first: bytes, data: bytes, seconds: float) -> None:
    """In a process of its own: open a console and send this over and over, reading nothing."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Protocol: binary, consolekit.token.{token}\r\n\r\n".encode()
        )
        sock.recv(4096)
        sock.sendall(first)
        sock.settimeout(0.2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                sock.send(data)
            except TimeoutError:
                continue
            except OSError:
                return


async def _echoes(console: Console, seconds: float, took: list[float]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun, size = time.monotonic(), console.heard + 8
        console.send(b"12345678")
        if not await console.hears(size):
            took.append(float("inf"))
            return
        took.append(time.monotonic() - begun)
        await asyncio.sleep(0.2)


FLOODS = {  # what begins it, and what is sent over and over
    "nobody": (b"", b""),
    "pings": (b"", header(0, 9) * 4000),
    "empty messages": (b"", header(0) * 4000),
    "one-byte fragments": (header(1, fin=False) + b"x", (header(1, 0, fin=False) + b"x") * 4000),
    "bulk": (b"", (header(65536) + bytes(65536)) * 4),
}


def _apart(pid: int) -> None:
    """The gateway on one CPU, viewers and console server on another: how it shares its own is asked."""
    first, *_, last = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {last})


async def abuser(options: argparse.Namespace) -> Figures:
    """50 viewers who type and see, beside one who floods."""
    found: Figures = {}
    everywhere = os.sched_getaffinity(0)
    for kind, (first, data) in FLOODS.items():
        async with echoing() as place, site({"a": place}) as here:
            _apart(here.served.process.pid)
            given = await tokens(here.kit, 51)
            consoles = [await here.door.open(token) for token in given[:50]]
            process = None
            if data:
                process = multiprocessing.get_context("spawn").Process(
                    target=_abuse, args=(here.port, given[50], first, data, 6.0)
                )
                process.start()
                await asyncio.sleep(1.0)
            took: list[float] = []
            await asyncio.gather(*(_echoes(console, 4.0, took) for console in consoles))
            lag = await asyncio.to_thread(here.worst_lag)
            found[kind] = {"echo, ms": spread(took), "loop lag at most, ms": round(1000 * lag)}
            if process is not None:
                await asyncio.to_thread(process.join)
            await close_all(consoles)
        os.sched_setaffinity(0, everywhere)
    return found


# ---- all of it

MEASURES: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, Figures]]] = {
    "strangers": strangers,
    "deadlines": deadlines,
    "drain": drain,
    "abuser": abuser,
    "link": link,
    "stuck": stuck,
    "churn": churn,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(MEASURES), help="some of them, with commas")
    parser.add_argument("--churn", type=int, default=10_000, help="sessions that come and go")
    parser.add_argument("--stuck", type=int, default=20, help="sessions that are stuck")
    parser.add_argument("--out", type=Path, default=kept.place("promises"))
    options = parser.parse_args()
    command = shlex.join(["python", "benchmarks/promises.py", *sys.argv[1:]])
    head = {"date": str(kept.now().date()), "command": command, "machine": machine.describe()}
    kept.append(options.out, [head])
    for name in options.only.split(","):
        record = {"what": name, "figures": asyncio.run(MEASURES[name](options))}
        print(json.dumps(record), flush=True)
        kept.append(options.out, [record])


if __name__ == "__main__":
    main()
