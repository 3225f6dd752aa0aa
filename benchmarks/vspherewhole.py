"""Two vCenters behind one whole gateway, one of them hung: what the other's viewers notice.

Part of ``vsphere.py``. The process that is measured holds the gateway and the browsers' websockets;
vCenters and the ESXi host are elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway import Gateway
    from vcenter import Simulator

CONSOLES = 100  # opened at the same moment
WAITING = 50  # browsers that wait for the vCenter that hangs
_BURSTS = 3
_MANY = 10_000
_PAIR = {"protocol": "mks", "type": "webmks"}


@contextlib.contextmanager
def host(simulator: Simulator, directory: Path) -> Iterator[None]:
    """An ESXi host that takes every ticket, and tickets that lead to it."""
    from esxihost import host_certificate, in_background

    from consolekit.testing.esxi import EsxiFront
    from consolekit.testing.rfbserver import RfbServer
    from consolekit.testing.tickets import Tickets

    class Generous(Tickets):
        """Not those of a file, which grows: reading it again would be what is measured."""

        def take(self, ticket: str) -> bool:
            return True

    certificate = host_certificate(directory / "esx")
    with in_background(RfbServer()) as screen:
        front = EsxiFront(("127.0.0.1", screen.port), certificate.context, tickets=Generous(), limit=_MANY)
        with in_background(front):
            pin = [["SHA-256", certificate.sha256]]
            simulator.forms(webmks={"url": f"wss://localhost:{front.port}/ticket/", "thumbprints": pin})
            yield


def beside(connection: Connection, place: Any) -> None:
    """Measure twice: with both vCenters well, and while the second one's viewers wait."""
    logging.disable()  # of those that wait in the end: they are told that the gateway closes
    asyncio.run(_beside(connection, place))


async def _beside(connection: Connection, place: Any) -> None:
    from gateway import running
    from vsphere import table

    from consolekit import ProviderRegistry
    from consolekit.core.shared import Shared
    from consolekit.net.listener import ListenerSettings
    from consolekit.providers.webmks.provider import WebMksProvider
    from consolekit.proxy.sessions import Limits

    registry, shared = ProviderRegistry(), Shared()
    # the same machines behind both: by another id each, so that a link names one of the two
    for port, find_by in zip(place.ports, ("instance_uuid", "moid"), strict=True):
        options = {"vcenter": {**table(place, port), "find_by": find_by}}
        registry.add(find_by.replace("_", "-"), WebMksProvider.from_config(options, shared=shared))
    listener = ListenerSettings(pending_per_address=512)  # browsers have addresses of their own
    limits = Limits(sessions=_MANY, per_subject=_MANY, per_address=_MANY)
    async with running(registry, limits=limits, listener_settings=listener) as gateway:
        stuck = await _tokens(gateway, place.moids[:WAITING])  # both are logged in, and know their machines
        for hangs in (False, True):
            tokens = [await _tokens(gateway, place.machines[:CONSOLES]) for _ in range(_BURSTS)]
            async with asyncio.TaskGroup() as group:
                if hangs:
                    await asyncio.to_thread(_ready, connection)
                waiting = [group.create_task(_wait(gateway, token)) for token in stuck if hangs]
                await asyncio.to_thread(_ready, connection)
                connection.send(await _bursts(gateway, tokens))
                if hangs:
                    connection.send(not any(task.done() for task in waiting))
                for task in waiting:
                    task.cancel()


def _ready(connection: Connection) -> None:
    connection.send("ready")
    connection.recv()


async def _tokens(gateway: Gateway, servers: tuple[str, ...]) -> list[str]:
    links = await asyncio.gather(*(gateway.link(server, **_PAIR) for server in servers))
    return [link.token.reveal() for link in links]


async def _bursts(gateway: Gateway, bursts: list[list[str]]) -> tuple[list[float], float]:
    """Open each burst at the same moment: from a browser's connection to its 101, and all of them."""
    times: list[float] = []
    seconds = 0.0
    for tokens in bursts:
        start = time.perf_counter()
        times += await asyncio.gather(*(_opened(gateway, token) for token in tokens))
        seconds += time.perf_counter() - start
    return times, seconds


async def _opened(gateway: Gateway, token: str) -> float:
    start = time.perf_counter()
    async with gateway.open(token):
        return time.perf_counter() - start  # closing comes after it


async def _wait(gateway: Gateway, token: str) -> None:
    async with gateway.open(token, open_timeout=None):
        pass
