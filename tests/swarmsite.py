"""Test support: ``consolekit serve`` as a process for a swarm of viewers, with few descriptors if wanted.

Importable as ``swarmsite``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
from served import COMMAND, Served, listening
from swarm import Door, echoing, tokens
from workersite import PATIENCE, Site, gone, providers, settings

from consolekit.config.build import build_kit
from consolekit.config.load import load

LIMITS = """
[limits]  # all viewers come from one address, for one subject, to one server
sessions = 20000
per_server = 20000
per_subject = 20000
per_address = 20000
pending = 5000
pending_per_address = 5000
"""


@attrs.frozen
class Swarm:
    """A gateway, and whoever comes to it.

    Attributes:
        site: The gateway.
        door: Where viewers connect.
        tokens: One for each of them.
    """

    site: Site
    door: Door
    tokens: list[str]

    async def until(self, true: object) -> None:
        """Wait for something."""
        await asyncio.to_thread(self.site.until, true)

    async def more_tokens(self, count: int) -> list[str]:
        """Others than those that were made at first."""
        return await _tokens(self.site.config, count)


@contextlib.asynccontextmanager
async def swarming(
    directory: Path, *, count: int, workers: int = 2, drain_seconds: int = 0, descriptors: int = 0
) -> AsyncIterator[Swarm]:
    """Run it on a console server that says back what it hears; whatever is left at the end is killed.

    Args:
        directory: For its files.
        count: Tokens that are made before anybody comes.
        workers: Processes under a parent; 0: one process.
        drain_seconds: How long consoles may go on after SIGTERM.
        descriptors: ``RLIMIT_NOFILE`` of its processes; 0: as it is.
    """
    config, log = directory / "consolekit.toml", directory / "log"

    def limit() -> None:
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    async with echoing() as address:
        text = settings(workers=workers, drain_seconds=drain_seconds).replace('"debug"', '"info"')
        config.write_text(text + LIMITS + providers(("a", address)))
        command = [*COMMAND, "serve", "--config", str(config)]
        with log.open("wb") as out:
            # no asyncio process: Site and Served hold one that can be waited for without a loop
            parent = subprocess.Popen(command, stdout=out, stderr=out, preexec_fn=limit)  # noqa: ASYNC220
        site = Site(Served(parent, log, {}), config, contextlib.ExitStack())
        try:
            site.served.urls = await asyncio.to_thread(listening, parent, log, "serve")
            await asyncio.to_thread(site.until, lambda: site.readiness()[0] == 200)
            yield Swarm(site, Door(site.served.urls["proxy"]), await _tokens(config, count))
        finally:
            await asyncio.to_thread(_end, site, parent)


async def _tokens(config: Path, count: int) -> list[str]:
    kit = build_kit(load(config, env={}))
    try:
        return await tokens(kit, count)
    finally:
        await kit.aclose()


def _end(site: Site, first: subprocess.Popen[bytes]) -> None:
    """The parent of now, then the first one, which ends with its last console."""
    for pid in {site.parent, first.pid} - ({first.pid} if first.poll() is not None else set()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    site.until(lambda: gone(site.parent))
    try:
        first.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        first.kill()
        first.wait()
        raise
