"""What a service manager hears."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from consolekit.cli.notify import ServiceManager


@pytest.fixture
def manager(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(5)
        yield heard, {"NOTIFY_SOCKET": str(tmp_path / "notify")}


async def test_ready_and_stopping(manager):
    heard, environment = manager
    told = ServiceManager(environment)
    told.ready()
    told.tell(STATUS="two things", MAINPID="1")
    told.stopping()
    told.close()
    assert [heard.recv(100) for _ in range(3)] == [b"READY=1", b"STATUS=two things\nMAINPID=1", b"STOPPING=1"]


async def test_the_watchdog_hears_from_the_loop_until_the_end(manager):
    heard, environment = manager
    told = ServiceManager(environment | {"WATCHDOG_USEC": "2000", "WATCHDOG_PID": str(os.getpid())})
    told.ready()
    assert heard.recv(100) == b"READY=1"
    for _ in range(3):
        assert await asyncio.to_thread(heard.recv, 100) == b"WATCHDOG=1"
    told.close()


@pytest.mark.parametrize(
    "extra", [{"WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {}]
)
async def test_a_watchdog_of_somebody_else_hears_nothing(manager, extra):
    heard, environment = manager
    told = ServiceManager(environment | extra)
    told.ready()
    assert heard.recv(100) == b"READY=1"
    told.close()
    assert told._timer is None


def test_an_abstract_name(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0consolekit-test-" + tmp_path.name)
        ServiceManager({"NOTIFY_SOCKET": "@consolekit-test-" + tmp_path.name}).tell(READY="1")
        assert heard.recv(100) == b"READY=1"


def test_nobody_there(caplog, tmp_path):
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        ServiceManager(environment).tell(READY="1")
    assert caplog.records == []
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY="1")
    assert "cannot be told READY" in caplog.text
