"""One worker process as its parent sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest
from workersite import PATIENCE, providers, settings

from consolekit.cli.worker import Worker
from consolekit.core.errors import ConsoleUnavailable


@pytest.fixture
async def worker(tmp_path):
    config = tmp_path / "consolekit.toml"
    config.write_text(settings() + providers(("a", "127.0.0.1:1")))
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as api:
        shared = {"proxy": [proxy], "api": [api]}
        made = Worker(7, ["serve", "--config", str(config)], shared, tmp_path)
        await made.start()
        yield made
        made.tell(signal.SIGKILL)
        await made.ended()


async def ready(worker: Worker) -> None:
    async with asyncio.timeout(PATIENCE):
        await worker.ready.wait()


async def test_it_answers_its_parent_once_it_serves(worker):
    await ready(worker)
    status, body = await worker.ask("/readyz")
    assert (status, '"ready"' in body) == (200, True)
    assert worker.figures == ""
    await worker.ask("/metrics")
    assert "consolekit_sessions" in worker.figures


async def test_it_ends_as_it_is_told_and_nothing_is_left(worker, tmp_path):
    await ready(worker)
    worker.tell(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        assert await worker.ended() == 0
    assert not [*tmp_path.glob("7.*")]
    with pytest.raises(ConsoleUnavailable, match="worker 7 does not answer: FileNotFoundError"):
        await worker.ask("/metrics")
    worker.tell(signal.SIGTERM)  # nobody there: no error


async def test_one_that_cannot_be_started_leaves_nothing(tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with pytest.raises(OSError, match="path too long"):
        await Worker(7, ["serve"], {}, deep).start()
    assert set(os.listdir("/proc/self/fd")) == before
    assert not [*deep.iterdir()]


async def test_one_that_stands_still_is_silent(worker):
    loop = asyncio.get_running_loop()
    assert not worker.silent(loop.time() + 3600), "it has not begun yet"
    await ready(worker)
    worker.tell(signal.SIGSTOP)
    assert not worker.silent(loop.time())
    assert worker.silent(loop.time() + 31)
