"""cli.spawn: what the program that is started anew is told."""

from __future__ import annotations

import socket
import sys

import pytest

from consolekit.cli.spawn import starting


def test_sockets_first_then_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN_PID", "WATCHDOG_PID"):
        monkeypatch.setenv(name, "1")
    with socket.socket() as one, socket.socket() as two:
        numbers = [one.fileno(), two.fileno(), 99]
        sockets = [("proxy", one), ("api", two)]
        command, how = starting(
            ["serve", "-v"], sockets, link=("_LINK_FD", 99), environment={"NOTIFY_SOCKET": "/n"}
        )
    assert command[0] == sys.executable
    assert command[-2:] == ["serve", "-v"]
    assert ",".join(map(str, numbers)) in command
    assert how["pass_fds"] == numbers
    told = {
        name: how["env"].get(name) for name in ("LISTEN_FDS", "LISTEN_FDNAMES", "_LINK_FD", "NOTIFY_SOCKET")
    }
    assert told == {
        "LISTEN_FDS": "2", "LISTEN_FDNAMES": "proxy:api", "_LINK_FD": "5", "NOTIFY_SOCKET": "/n"
    }  # fmt: skip
    assert not {"LISTEN_PID", "WATCHDOG_PID"} & how["env"].keys(), "they are for another process"


def test_one_for_init_leaves_its_starter_first() -> None:
    (_, _, _, plain, *_), _ = starting(["serve"], [], link=("_LINK_FD", 99))
    (_, _, _, orphan, *_), _ = starting(["serve"], [], link=("_LINK_FD", 99), orphan=True)
    assert "fork" not in plain
    assert orphan.endswith(plain)
