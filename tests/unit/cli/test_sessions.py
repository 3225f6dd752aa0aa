"""cli.sessions: what is live in a shared store, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.core.types import ConsoleKey, Mode, Revocation, SessionInfo, SystemClock

Call = Callable[..., Result]


async def put_session(path: Path) -> None:
    clock = SystemClock()
    store = SqliteTokenStore(path, clock=clock)
    now = clock.now()
    session = SessionInfo(
        id="s1",
        grant_id="g1",
        key=ConsoleKey("vnc", "novnc"),
        server_id="web-1",
        subject="alice",
        address="192.0.2.1",
        started_at=now,
        issued_at=now,
        mode=Mode.VIEW,
        bytes_out=2048,
    )
    await store.keep_sessions("proxy", [session])
    await store.aclose()


async def read_revocations(path: Path) -> list[Revocation]:
    store = SqliteTokenStore(path, clock=SystemClock())
    _, found = await store.revocations(0)
    await store.aclose()
    return found


@pytest.fixture
def live(file: Path) -> Path:
    """A configuration in whose store one session is live."""
    asyncio.run(put_session(file.parent / "tokens.db"))
    return file


def revoked(file: Path) -> list[tuple[str, str]]:
    found = asyncio.run(read_revocations(file.parent / "tokens.db"))
    return [(revocation.scope.value, revocation.value) for revocation in found]


def test_a_list(run: Call, live: Path) -> None:
    result = run("sessions", "list", "-c", str(live))
    assert result.exit_code == 0, result.stderr
    head, row = result.stdout.splitlines()
    assert head.split() == [
        "SESSION", "SERVER", "CONSOLE", "MODE", "SUBJECT", "FROM", "SINCE", "SENT", "GRANT",
    ]  # fmt: skip
    for cell in ("s1", "web-1", "vnc/novnc", "view", "alice", "192.0.2.1", "2.0 KiB", "g1"):
        assert cell in row


def test_a_list_as_json(run: Call, live: Path) -> None:
    (session,) = json.loads(run("sessions", "list", "--json", "-c", str(live)).stdout)
    assert session["id"] == "s1"
    assert session["protocol"] == "vnc"
    assert session["mode"] == "view"
    assert session["bytes_out"] == 2048
    assert session["started_at"].endswith("Z")


def test_a_list_of_one_server(run: Call, live: Path) -> None:
    assert json.loads(run("sessions", "list", "--server", "web-1", "--json", "-c", str(live)).stdout)
    result = run("sessions", "list", "--server", "other", "-c", str(live))
    assert (result.stdout, result.stderr) == ("", "no live consoles\n")


def test_kill(run: Call, live: Path) -> None:
    result = run("sessions", "kill", "s1", "-c", str(live))
    assert (result.exit_code, result.stdout) == (0, "session s1 ends now\n")
    assert revoked(live) == [("session", "s1")]


def test_what_is_not_there(run: Call, live: Path) -> None:
    result = run("sessions", "kill", "nope", "-c", str(live))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: no ")


def test_a_provider_that_is_broken_stands_in_nobodys_way(run: Call, live: Path) -> None:
    live.write_text(live.read_text() + '[providers.gone]\nuse = "not installed"\n')
    assert run("sessions", "kill", "s1", "-c", str(live)).exit_code == 0


@pytest.mark.parametrize("args", [["sessions", "list"], ["sessions", "kill", "x"]])
def test_a_memory_store_is_another_processs(run: Call, args: list[str]) -> None:
    result = run(*args, env={"CONSOLEKIT_TOKENS__STORE": "memory"})
    assert result.exit_code == 2
    assert "only the running server sees; ask its API" in result.stderr
