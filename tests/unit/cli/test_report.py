"""What SIGUSR2 writes: sessions, and where tasks wait; never a value."""

from __future__ import annotations

import asyncio
import logging

import pytest

from consolekit.cli import report as module
from consolekit.cli.report import report
from consolekit.core.types import ConsoleKey, Mode, SessionInfo


def session(number: int) -> SessionInfo:
    return SessionInfo(
        id=f"s{number}", grant_id="g", key=ConsoleKey("vnc", "novnc"), server_id="web-1", subject="alice",
        address="192.0.2.1", started_at=100.0 + number, issued_at=90.0, mode=Mode.VIEW,
        bytes_in=1, bytes_out=2,
    )  # fmt: skip


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "consolekit.cli.report")
    return caplog


def test_sessions_oldest_first(log):
    report([session(2), session(1)], [], now=110.0)
    assert log.records[0].getMessage() == "report: 2 sessions, 0 tasks in 0 places"
    assert [record.session_id for record in log.records[1:]] == ["s1", "s2"]
    assert (log.records[1].seconds, log.records[1].mode, log.records[1].bytes_out) == (9.0, "view", 2)


async def _inner(released: asyncio.Event, token: str) -> None:
    await released.wait()


async def _outer(released: asyncio.Event) -> None:
    password = "ckt_" + "a" * 43
    await _inner(released, password)


async def test_where_tasks_wait_and_how_many(log):
    released = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outer(released)) for _ in range(3)]
        await asyncio.sleep(0)
        report([], tasks, now=0.0)
        released.set()
    (line,) = log.records[1:]
    assert (line.task, line.count) == ("_outer", 3)
    chain = [place.split()[-1] for place in line.stack.split(" > ")]
    assert chain[:3] == ["_outer", "_inner", "Event.wait"]
    assert "test_report.py:" in line.stack
    assert not any("ckt_" in str(vars(record)) for record in log.records)


async def test_a_task_that_is_done_waits_nowhere(log):
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
    await task
    report([], [task], now=0.0)
    assert (log.records[1].task, log.records[1].stack) == ("sleep", "")


async def test_it_is_bounded(log, monkeypatch):
    monkeypatch.setattr(module, "_SESSIONS", 2)
    monkeypatch.setattr(module, "_TASKS", 0)
    released = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_outer(released))
        await asyncio.sleep(0)
        report([session(number) for number in range(5)], [task], now=200.0)
        released.set()
    assert len(log.records) == 1 + 2 + 1
    assert log.records[-1].getMessage() == "report: 3 sessions and 1 places are left out"
