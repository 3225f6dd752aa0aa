"""Catalogue cases 46 to 48: processes that are killed, ended, out of descriptors.

Reloads under load: ``tests/integration/test_reload.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from swarm import Console, Door, Refused
from swarmsite import swarming
from workersite import Site, gone

CONSOLES = 12
SPARE = 4


async def said_back(console: Console, text: bytes = b"still there?") -> bool:
    console.send(text)
    return await console.hears(console.heard + len(text))


async def status_of(door: Door, token: str) -> int:
    with pytest.raises(Refused) as refused:
        await door.open(token)
    return refused.value.status


async def test_case_46_a_killed_worker_takes_its_own_consoles_alone_and_revives_no_token(tmp_path):
    async with swarming(tmp_path, count=CONSOLES + SPARE) as swarm:
        site, door, made = swarm.site, swarm.door, swarm.tokens
        shown = {await door.open(token): token for token in made[:CONSOLES]}
        assert all([await said_back(console) for console in shown])
        victim, other = site.workers()
        os.kill(victim, signal.SIGKILL)
        await swarm.until(lambda: "worker 3" in site.readiness()[1] and site.readiness()[0] == 200)
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
    async with swarming(tmp_path, count=CONSOLES + SPARE) as swarm:
        site, door, made = swarm.site, swarm.door, swarm.tokens
        consoles = [await door.open(token) for token in made[:CONSOLES]]
        workers = site.workers()
        os.kill(site.parent, signal.SIGKILL)
        site.served.process.wait()
        await swarm.until(lambda: site.served.log.read_text().count("the parent process is gone") == 2)
        assert all([await said_back(console) for console in consoles])
        with pytest.raises(ConnectionRefusedError):
            await door.open(made[CONSOLES])
        for console in consoles:
            await console.close()
        await swarm.until(lambda: all(gone(pid) for pid in workers))


async def test_case_47_sigterm_ends_many_sessions_with_1001_after_the_drain(tmp_path):
    async with swarming(tmp_path, count=501, drain_seconds=2) as swarm:
        site, door, made = swarm.site, swarm.door, swarm.tokens
        consoles = [await door.open(token) for token in made[:500]]
        site.served.process.terminate()
        await swarm.until(lambda: site.served.log.read_text().count("draining") == 2)
        assert site.readiness()[0] == 503
        with pytest.raises(ConnectionRefusedError):
            await door.open(made[500])
        assert all([await said_back(console) for console in consoles[::50]]), "they have their time"
        for console in consoles:
            await console.ended.wait()
        assert {console.code for console in consoles} == {1001}
        assert await asyncio.to_thread(site.served.process.wait, 30) == 0


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("limit", [64, 256])
@pytest.mark.parametrize("workers", [0, 1], ids=["alone", "worker"])
async def test_case_48_at_the_limit_of_descriptors_callers_are_turned_away_and_it_recovers(
    tmp_path, limit, workers
):
    async with swarming(tmp_path, count=limit // 2, workers=workers, descriptors=limit) as swarm:
        site, loop = swarm.site, asyncio.get_running_loop()
        pid = site.workers()[0] if workers else site.parent
        at_first = descriptors(pid)
        consoles, refused = [], []
        for token in swarm.tokens:
            try:
                consoles.append(await swarm.door.open(token))
            except Refused as exc:
                refused.append(exc.status)
        assert len(consoles) > limit // 4
        assert refused
        assert set(refused) <= {0, 503}, "closed at once, or answered"
        lines, busy, begun = len(log_of(site)), cpu_seconds(pid), loop.time()
        crowd = [await idle_connection(swarm.door) for _ in range(200)]
        await asyncio.gather(*(reader.read() for reader, _ in crowd[9:100]))  # each is let go
        await asyncio.sleep(max(0.0, begun + 1.0 - loop.time()))  # how much it does in that time is asked
        seconds = loop.time() - begun
        assert (len(log_of(site)) - lines) / seconds <= 10
        assert (cpu_seconds(pid) - busy) / seconds <= 0.5
        assert await said_back(consoles[0])
        for _, writer in crowd:
            writer.close()
        for console in consoles:
            await console.close()
        await swarm.until(lambda: descriptors(pid) <= at_first)
        fresh = await swarm.door.open((await swarm.more_tokens(1))[0])
        assert await said_back(fresh)
        assert site.figure('consolekit_connections_refused_total{why="descriptors"}') >= 91
        assert site.figure('consolekit_sockets{kind="viewer"}') == 1
        assert site.figure('consolekit_sockets{kind="server"}') == 1
        await fresh.close()


def log_of(site: Site) -> list[str]:
    return site.served.log.read_text().splitlines()


async def idle_connection(door: Door) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(door.host, door.port)
