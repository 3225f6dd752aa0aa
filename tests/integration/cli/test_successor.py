"""A parent that is to take another's place; the whole of it is in ``test_supervisor``."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from consolekit.cli import successor
from consolekit.cli.successor import predecessor_of, start_successor

VARIABLE = "_CONSOLEKIT_PREDECESSOR_FD"
#: In the place of the program: serves at once, says whose child it is, and ends when it has been answered.
SERVES = f"""
import os, socket
link = socket.socket(fileno=int(os.environ["{VARIABLE}"]))
link.sendall(b".")
link.recv(1)
with open("PATH", "w") as said:
    said.write(f"{{os.getpid()}} {{os.getppid()}}")
"""
#: In the place of the program: never serves.
WAITS = "import time; time.sleep(3600)"


def nobody(process: int) -> None:
    raise AssertionError("it does not serve")


def instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr("consolekit.cli.spawn._PROGRAM", ("-c", program))


async def test_one_that_ends_before_it_serves_is_none():
    assert await start_successor(["--version"], [], nobody) is None


async def test_one_that_serves_is_no_child_of_ours_and_speaks_after_us(monkeypatch, tmp_path):
    said, told = tmp_path / "said", []
    os.mkfifo(said)
    instead(monkeypatch, SERVES.replace("PATH", str(said)))
    process = await start_successor([], [], told.append)
    assert told == [process]
    number, parent = map(int, (await asyncio.to_thread(said.read_text)).split())
    assert number == process
    assert parent != os.getpid()


async def test_one_that_takes_too_long_is_ended(monkeypatch):
    instead(monkeypatch, WAITS)
    monkeypatch.setattr(successor, "_START_SECONDS", 0.5)
    assert await start_successor([], [], nobody) is None  # back when its end of the link is closed


async def test_the_predecessor_hears_once_and_its_variable_goes():
    ours, its = socket.socketpair()
    environment = {VARIABLE: f"{its.detach()}", "OTHER": "1"}
    tell = predecessor_of(environment)
    assert environment == {"OTHER": "1"}
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(tell())
        with ours:
            assert await asyncio.to_thread(ours.recv, 10) == b"."
            assert not telling.done(), "the service manager has not been told yet"


async def test_a_predecessor_that_is_gone_is_no_error():
    ours, its = socket.socketpair()
    ours.close()
    await predecessor_of({VARIABLE: f"{its.detach()}"})()
    await predecessor_of({})()
