"""Test support: four ``consolekit proxy`` on two hosts behind HAProxy, an API, and a store that all share.

Importable as ``fleet``. The configurations are those of ``deploy/``, with addresses, the key and the store's
part filled in. Everything is a process, as operators run it; the console's server sends back what it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import websockets.asyncio.client
from fleetstores import STORES, FleetStore
from fleetviewer import Link, Viewer
from gateway import echo, resume_key
from hosts import Host, Network, two_hosts
from parts import require
from served import COMMAND

from consolekit.api.callers import hash_of, new_key
from consolekit.core.types import Secret

DEPLOY = Path(__file__).parent.parent / "deploy"
SERVERS = 400
Where = Callable[[], contextlib.AbstractContextManager[Network]]
PATIENCE = 90.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@attrs.frozen
class Answer:
    """What came back of an HTTP request; status 0: nobody was there."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(method: str, url: str, body: object = None, *, key: Secret | None = None) -> Answer:
    """One HTTP request, whatever comes of it."""
    headers = {"Content-Type": "application/json"} | (
        {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
    )
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    return await asyncio.to_thread(_ask, request)


def _ask(request: urllib.request.Request) -> Answer:
    try:
        with _DIRECT.open(request, timeout=20) as reply:
            return Answer(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, dict(refusal.headers), refusal.read())
    except OSError:
        return Answer(0)


@attrs.define(eq=False)
class Role:
    """One of our processes: a proxy or the API."""

    name: str
    host: Host
    port: int
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{self.host.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*self.host.prefix, *self.command], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    async def answers(self, path: str) -> None:
        """Wait until it answers 200."""
        async with asyncio.timeout(PATIENCE):
            while (await ask("GET", self.url + path)).status != 200:
                assert self.process is None or self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def readiness(self) -> Mapping[str, bool]:
        """What ``/readyz`` says of its checks; empty where nobody is there."""
        answer = await ask("GET", self.url + "/readyz")
        return answer.json["checks"] if answer.status else {}

    def kill(self) -> None:
        """All of its processes at once, as when its machine dies."""
        if self.process is not None:
            pid = self.process.pid
            with contextlib.suppress(FileNotFoundError):  # it has ended
                workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                self.process.kill()  # first, or it starts new ones
                for worker in workers:
                    os.kill(int(worker), signal.SIGKILL)
            self.process.wait()

    async def stopped(self) -> int:
        """Tell it to end, as service managers do, and wait for it; its exit code."""
        assert self.process is not None
        self.process.terminate()
        async with asyncio.timeout(PATIENCE):
            return await asyncio.to_thread(self.process.wait)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


@attrs.define
class Fleet:
    """All of it, running."""

    network: Network
    pair: str
    store: FleetStore
    config: Path
    front: str
    proxies: list[Role]
    api: Role
    key: Secret

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        """Ask the API."""
        return await ask(method, self.api.url + path, body, key=self.key)

    async def try_link(self, server: str = "s0", *, subject: str = "alice", seconds: int = 600) -> Answer:
        protocol, _, kind = self.pair.partition("/")
        body = {"protocol": protocol, "type": kind, "subject": subject, "ttl_seconds": seconds}
        return await self.call("POST", f"/servers/{server}/console", body)

    async def link(self, server: str = "s0", *, subject: str = "alice", seconds: int = 600) -> Link:
        answer = await self.try_link(server, subject=subject, seconds=seconds)
        assert answer.status == 200, answer
        token = re.search(r"token=([^&]+)", answer.json["url"])
        assert token is not None, "a link without a token"
        return Link(answer.json["grant_id"], token[1])

    def connect(
        self, link: Link, *, resume: str, at: Role | None = None
    ) -> websockets.asyncio.client.connect:
        """Open a console as a browser does: through HAProxy, or straight at one of the proxies."""
        place = self.front if at is None else at.url
        offers = ["binary", f"consolekit.token.{link.token}", f"consolekit.resume.{resume}"]
        return websockets.asyncio.client.connect(
            f"ws{place.removeprefix('http')}/ws", subprotocols=offers, origin=self.front, compression=None,
            max_size=None, proxy=None, ping_interval=None, open_timeout=20, close_timeout=5,
        )  # fmt: skip

    async def viewer(
        self, server: str = "s0", *, subject: str = "alice", at: Role | None = None, link: Link | None = None,
        key: str = "",
    ) -> Viewer:  # fmt: skip
        """Open a console that carries bytes; with a new link, or one that was used."""
        link, key = link or await self.link(server, subject=subject), key or resume_key()
        socket = await self.connect(link, resume=key, at=at)
        viewer = Viewer(link=link, server=server, subject=subject, key=key, socket=socket)
        viewer.begin()
        return viewer

    async def command(self, *words: str, host: Host | None = None) -> tuple[int, str]:
        """Run the program on one of the hosts, as an operator does; exit code and what it said."""
        prefix = () if host is None else host.prefix
        process = await asyncio.create_subprocess_exec(
            *prefix, *COMMAND, *words, "--config", str(self.config),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def in_rotation(self) -> None:
        """Wait until HAProxy sends consoles to all of them, as far as its log tells."""
        async with asyncio.timeout(PATIENCE):
            while "DOWN" in self._states().values():
                await asyncio.sleep(0.05)

    def _states(self) -> dict[str, str]:
        said = (self.config.parent / "haproxy.log").read_text()
        return dict(re.findall(r"Server consolekit/(\w+) is (UP|DOWN)", said))

    async def proxy_of(self, grant: str) -> Role:
        """At which of the proxies HAProxy has put a grant's viewer last: the logs tell."""
        async with asyncio.timeout(PATIENCE):
            while not (opened := [found for each in self.proxies for found in _opened(each, grant)]):
                await asyncio.sleep(0.05)
        return max(opened, key=lambda found: found[0])[1]


def _opened(proxy: Role, grant: str) -> Iterator[tuple[str, Role]]:
    for line in proxy.log.read_text().splitlines():
        if '"session opened"' in line and f'"grant_id": "{grant}"' in line:
            yield json.loads(line)["timestamp"], proxy


# ---- starting all of it


@contextlib.asynccontextmanager
async def running(
    store: str,
    folder: Path,
    *,
    where: Where = two_hosts,
    per_host: int = 2,
    workers: int = 0,
    screen: str = "",
) -> AsyncIterator[Fleet]:
    """Run a fleet; at the end every process ends.

    Args:
        store: One of ``fleetstores``.
        folder: For configurations and logs.
        where: Makes the two hosts.
        per_host: Proxies on each of them, 1 or 2.
        workers: Of each of them; 0: it has no parent.
        screen: Address of a VNC server that all consoles show, instead of the one that echoes.
    """
    program = require("haproxy", "haproxy")
    async with AsyncExitStack() as stack:
        network = stack.enter_context(where())
        stack.enter_context(_threads_of_here())
        kept = stack.enter_context(STORES[store](network, folder))
        console = await stack.enter_async_context(_console(network.shared))
        front = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        url, key = f"http://127.0.0.1:{front.getsockname()[1]}", new_key()
        ports = {host.name: _ports(host) for host in network.hosts}
        config = folder / "consolekit.toml"
        values = {
            '"https://consoles.example.org"': f'"{url}"',
            "0" * 64: hash_of(key),
            "192.0.2.5": network.shared,
            'use = "serial"': 'use = "vnc"' if screen else 'use = "serial"',
        }
        config.write_text(_settings(values, kept, console=screen or console, workers=workers))
        roles = [_role(f"{host.name}{at + 1}", "proxy", host, ports[host.name][at], config, folder)
                 for host in network.hosts for at in range(per_host)]  # fmt: skip
        first = network.hosts[0]
        api = _role("api", "api", first, ports[first.name][2], config, folder)
        for role in (*roles, api):
            stack.callback(role.end)
            role.start()
        await asyncio.gather(api.answers("/openapi.json"), *(role.answers("/readyz") for role in roles))
        haproxy = stack.enter_context(_haproxy(program, front, roles, folder))
        pair = "vnc/novnc" if screen else "serial/serial"
        fleet = Fleet(
            network=network, pair=pair, store=kept, config=config, front=url, proxies=roles, api=api, key=key
        )
        async with asyncio.timeout(PATIENCE):
            while haproxy.poll() is None and (await ask("GET", f"{url}/console/")).status != 200:
                await asyncio.sleep(0.05)
        assert haproxy.poll() is None, (folder / "haproxy.log").read_text()
        yield fleet


@contextlib.contextmanager
def _threads_of_here() -> Iterator[None]:
    """Let the loop use new threads: those that it has live in the network that was there before."""
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor()
    loop.set_default_executor(threads)
    try:
        yield
    finally:
        threads.shutdown()
        loop.set_default_executor(ThreadPoolExecutor())


@contextlib.asynccontextmanager
async def _console(address: str) -> AsyncIterator[str]:
    """The server of all consoles."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            await echo(reader, writer)
        except OSError:
            pass
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, address, 0, backlog=1024)
    try:
        yield f"{address}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in list(writers):
            writer.close()


def _role(name: str, role: str, host: Host, port: int, config: Path, folder: Path) -> Role:
    where = ["--listen", f"{host.address}:{port}", "--log-format", "json", "--log-level", "debug"]
    command = [*COMMAND, role, "--config", str(config), *where]
    return Role(name=name, host=host, port=port, command=command, log=folder / f"{name}.log")


def _ports(host: Host) -> list[int]:
    """Three ports: those that the documentation shows where the host is ours alone, else what is free."""
    if host.prefix:
        return [6080, 6090, 6081]
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server((host.address, 0))) for _ in range(3)]
        return [each.getsockname()[1] for each in taken]


def _settings(values: Mapping[str, str], store: FleetStore, *, console: str, workers: int) -> str:
    """The documented configuration, with this site's values."""
    text = (DEPLOY / "several-proxies.toml").read_text()
    servers = "\n".join(f's{at} = {{ address = "{console}" }}' for at in range(SERVERS))
    text = _filled(text, {**values, 'web-1 = { address = "192.0.2.20:5900" }': servers})
    text = _filled(text, {"[proxy]\n": f"[proxy]\nworkers = {workers}\n"})
    # all viewers of a test are one person at one address, and may look at one server
    more = "".join(f"per_{what} = 2000\n" for what in ("subject", "server", "address"))
    text = _filled(text, {"sessions = 2000\n": f"sessions = 2000\n{more}"})
    return re.sub(r"\[tokens\]\n.*?\n(?=\n)", lambda _: store.tokens, text, flags=re.DOTALL)


def _filled(text: str, values: Mapping[str, str]) -> str:
    for old, new in values.items():
        assert text.count(old) == 1, f"{old} is not there once"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def _haproxy(
    program: str, front: socket.socket, proxies: list[Role], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """HAProxy with the documented configuration; it gets its listening socket from us."""
    documented = {"a1": "192.0.2.11:6080", "a2": "192.0.2.11:6090"} | {
        "b1": "192.0.2.12:6080", "b2": "192.0.2.12:6090"}  # fmt: skip
    values = {f"server {proxy.name} {documented.pop(proxy.name)}": f"server {proxy.name} {proxy.address}"
              for proxy in proxies}  # fmt: skip
    values |= {f"    server {name} {address}\n": "" for name, address in documented.items()}
    bind = {"bind :443 ssl crt /etc/haproxy/consoles.pem": f"bind fd@{front.fileno()}"}
    config = folder / "haproxy.cfg"
    config.write_text(_filled((DEPLOY / "haproxy.cfg").read_text(), bind | values))
    with (folder / "haproxy.log").open("wb") as out:
        process = subprocess.Popen(
            [program, "-db", "-f", str(config)], pass_fds=[front.fileno()], stdout=out, stderr=out,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
