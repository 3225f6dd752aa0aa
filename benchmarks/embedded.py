"""What a console costs where it is embedded: our own listener, a Tornado application, an ASGI server.

    python benchmarks/embedded.py                under a minute; CPU of the embedding process alone
    python benchmarks/embedded.py --mib 2000     more bytes, for a quieter figure

One console, on loopback: a server that sends as fast as it is read, then one that echoes what is typed.
Server and viewer are processes of their own and are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import socket
import sys
import time
from collections.abc import AsyncIterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from consolekit import ConsoleKit, KitSettings
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.types import Endpoint, SystemClock
from consolekit.proxy.engine import ProxySettings

PIECE = 64 * 1024
WAYS = ("listener", "tornado", "asgi")


def serve(size: int, port: Queue[int]) -> None:
    """The console's server: sends so many bytes to the first viewer, echoes to the second."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port.put(listening.getsockname()[1])
        for what in ("bulk", "echo"):
            connection, _ = listening.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.recv(1)
                if what == "bulk":
                    for _ in range(size // PIECE):
                        connection.sendall(bytes(PIECE))
                    connection.recv(1)
                while what == "echo" and (data := connection.recv(PIECE)):
                    connection.sendall(data)


def view(base: str, tokens: list[str], size: int, keys: int, said: Queue[str]) -> None:
    """The viewer: says when it begins and when it has all."""
    from websockets.sync.client import connect

    for what, token in zip(("bulk", "echo"), tokens, strict=True):
        protocols: Any = ["binary", f"consolekit.token.{token}"]
        origin: Any = base.removesuffix("/vm")
        url = f"ws{base.removeprefix('http')}/ws"
        with connect(url, subprotocols=protocols, origin=origin, compression=None, proxy=None) as socket_:
            said.put("begun")
            socket_.send(b"!")
            got = 0
            while what == "bulk" and got < size:
                got += len(socket_.recv())
            for _ in range(keys if what == "echo" else 0):
                socket_.send(b"0123456789")
                socket_.recv()
            said.put("done")


@contextlib.asynccontextmanager
async def embedded(way: str, kit: ConsoleKit, sock: socket.socket) -> AsyncIterator[None]:
    """The consoles of a kit, in one of the ways; imported here, so that none pays for another."""
    sock.setblocking(False)
    if way == "asgi":
        from asgiserver import serving

        from consolekit.asgi import AsgiConsoles

        consoles = AsgiConsoles(kit)
        await consoles.start()
        async with serving(consoles, sock, access_log=False):
            yield
        await consoles.aclose()
        return
    from tornado.httpserver import HTTPServer
    from tornado.web import Application

    from consolekit.net.listener import Listener
    from consolekit.tornado import Proxy, url_specs

    proxy = Proxy(kit, ProxySettings.of(kit))
    await proxy.start()
    if way == "listener":
        listener = Listener("127.0.0.1", 0, sockets=[sock])
        listener.start(proxy.application())
        yield
        await proxy.aclose()
        await listener.aclose()
        return
    server = HTTPServer(Application(url_specs(proxy)))
    server.add_sockets([sock])
    yield
    server.stop()
    await proxy.aclose()
    await server.close_all_connections()


async def measure(way: str, size: int, keys: int) -> tuple[float, float]:
    """CPU seconds of the bytes, and of the keys."""
    from gateway import CALLER, PipeProvider, registry_of

    port: Queue[int] = multiprocessing.Queue()
    said: Queue[str] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(size, port))
    server.start()
    sock = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{sock.getsockname()[1]}/vm"
    clock = SystemClock()
    store = MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock)
    kit = ConsoleKit(
        registry=registry_of(PipeProvider({"demo": Endpoint(host="127.0.0.1", port=port.get())})),
        store=store,
        issuer=tokens,
        validators=[tokens],
        settings=KitSettings(base_url=base),
    )
    async with embedded(way, kit, sock):
        wanted = {"protocol": "vnc", "type": "novnc"}
        links = [await kit.create("demo", wanted, caller=CALLER) for _ in range(2)]
        shown = [link.token.reveal() for link in links]
        viewer = multiprocessing.Process(target=view, args=(base, shown, size, keys, said))
        viewer.start()
        used = []
        for _ in ("bulk", "echo"):
            await asyncio.to_thread(said.get)
            before = time.process_time()
            await asyncio.to_thread(said.get)
            used.append(time.process_time() - before)
        await asyncio.to_thread(viewer.join)
        await asyncio.to_thread(server.join)
    await kit.aclose()
    return used[0], used[1]


def in_a_process(way: str, size: int, keys: int, found: Queue[tuple[float, float]]) -> None:
    found.put(asyncio.run(measure(way, size, keys)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--mib", type=int, default=500, help="bytes from the server, in MiB")
    parser.add_argument("--keys", type=int, default=10_000, help="messages that are echoed")
    options = parser.parse_args()
    size = options.mib * 1024 * 1024
    print(f"{'way':10}{'CPU-s a GB':>12}{'us a key and its echo':>24}")
    multiprocessing.set_start_method("spawn")
    for way in WAYS:
        found: Queue[tuple[float, float]] = multiprocessing.Queue()
        process = multiprocessing.Process(target=in_a_process, args=(way, size, options.keys, found))
        process.start()
        bulk, echo = found.get()
        process.join()
        print(f"{way:10}{bulk / (size / 1e9):12.2f}{echo / options.keys * 1e6:24.0f}", flush=True)


if __name__ == "__main__":
    main()
