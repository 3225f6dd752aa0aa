"""Catalogue cases 46, 47: processes that are killed, ended. Reloads under load: ``test_reload.py``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from reloading import LIMITS
from served import COMMAND, Served, listening
from swarm import Console, Door, Refused, echoing, tokens
from workersite import Site, gone, providers, settings

from consolekit.config.build import build_kit
from consolekit.config.load import load

CONSOLES = 12


@contextlib.asynccontextmanager
async def running(
    directory: Path, *, drain_seconds: int = 0, spare: int = 4
) -> AsyncIterator[tuple[Site, Door, list[str]]]:
    """Two workers, and tokens for ``CONSOLES`` and some more; whatever is left at the end is killed."""
    config, log = directory / "consolekit.toml", directory / "log"
    async with echoing() as address:
        text = settings(workers=2, drain_seconds=drain_seconds).replace('"debug"', '"info"')
        config.write_text(text + LIMITS + providers(("a", address)))
        with log.open("wb") as out:
            command = [*COMMAND, "serve", "--config", str(config)]
            parent = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: ASYNC220
        site = Site(Served(parent, log, {}), config, contextlib.ExitStack())
        try:
            site.served.urls = await asyncio.to_thread(listening, parent, log, "serve")
            await until(site, lambda: site.readiness()[0] == 200)
            kit = build_kit(load(config, env={}))
            made = await tokens(kit, CONSOLES + spare)
            await kit.aclose()
            yield site, Door(site.served.urls["proxy"]), made
        finally:
            left = [*site.workers(), parent.pid] if parent.poll() is None else []
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            parent.wait()


async def until(site: Site, true: object) -> None:
    await asyncio.to_thread(site.until, true)


async def said_back(console: Console, text: bytes = b"still there?") -> bool:
    console.send(text)
    return await console.hears(console.heard + len(text))


async def status_of(door: Door, token: str) -> int:
    with pytest.raises(Refused) as refused:
        await door.open(token)
    return refused.value.status


async def test_case_46_a_killed_worker_takes_its_own_consoles_alone_and_revives_no_token(tmp_path):
    async with running(tmp_path) as (site, door, made):
        shown = {await door.open(token): token for token in made[:CONSOLES]}
        assert all([await said_back(console) for console in shown])
        victim, other = site.workers()
        os.kill(victim, signal.SIGKILL)
        await until(site, lambda: "worker 3" in site.readiness()[1] and site.readiness()[0] == 200)
        lived = [console for console in shown if await said_back(console)]
        assert 0 < len(lived) < CONSOLES, "both workers had some"
        assert other in site.workers()
        spent = [await status_of(door, token) for token in shown.values()]
        assert spent == [401] * CONSOLES, "those of the dead worker's consoles too"
        fresh = await door.open(made[CONSOLES])
        assert await said_back(fresh)
        for console in (*lived, fresh):
            await console.close()


async def test_case_46_a_killed_parent_leaves_consoles_to_their_end_and_no_process(tmp_path):
    async with running(tmp_path) as (site, door, made):
        consoles = [await door.open(token) for token in made[:CONSOLES]]
        workers = site.workers()
        os.kill(site.parent, signal.SIGKILL)
        site.served.process.wait()
        await until(site, lambda: site.served.log.read_text().count("the parent process is gone") == 2)
        assert all([await said_back(console) for console in consoles])
        with pytest.raises(ConnectionRefusedError):
            await door.open(made[CONSOLES])
        for console in consoles:
            await console.close()
        await until(site, lambda: all(gone(pid) for pid in workers))


async def test_case_47_sigterm_ends_many_sessions_with_1001_after_the_drain(tmp_path):
    async with running(tmp_path, drain_seconds=2, spare=500) as (site, door, made):
        consoles = [await door.open(token) for token in made[:500]]
        site.served.process.terminate()
        await until(site, lambda: site.served.log.read_text().count("draining") == 2)
        assert site.readiness()[0] == 503
        with pytest.raises(ConnectionRefusedError):
            await door.open(made[500])
        assert all([await said_back(console) for console in consoles[::50]]), "they have their time"
        for console in consoles:
            await console.ended.wait()
        assert {console.code for console in consoles} == {1001}
        assert await asyncio.to_thread(site.served.process.wait, 30) == 0
