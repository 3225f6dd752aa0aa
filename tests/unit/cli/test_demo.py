"""cli.demo: its decisions; what it shows is shown by the tests with real parts."""

from __future__ import annotations

import errno
import socket

import pytest

from consolekit.cli import demo
from consolekit.config.consistency import contradictions
from consolekit.core.address import Address


class FakeSocket:
    """A socket that has all ports but those that are taken."""

    taken = (6080, 80)

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> FakeSocket:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def setsockopt(self, *_: object) -> None:
        pass

    def bind(self, address: tuple[str, int]) -> None:
        assert address[0] == "127.0.0.1"
        if address[1] in self.taken:
            raise OSError(errno.EACCES if address[1] == 80 else errno.EADDRINUSE, "taken")
        if address[1] == 666:
            raise OSError(errno.ENOBUFS, "No buffer space available")


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", FakeSocket)


@pytest.mark.parametrize(
    ("wanted", "got", "told"), [(7000, 7000, False), (0, 0, False), (6080, 0, True), (80, 0, True)]
)
def test_a_taken_port_is_told_and_replaced(
    capsys: pytest.CaptureFixture[str], wanted: int, got: int, told: bool
) -> None:
    assert demo._free(wanted) == got
    assert (f"Port {wanted} is taken" in capsys.readouterr().err) == told


def test_other_troubles_are_not_hidden() -> None:
    with pytest.raises(OSError, match="No buffer space"):
        demo._free(666)


def test_everything_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    config = demo._config(7000, "127.0.0.1:5")
    assert config.proxy.listen == Address("127.0.0.1", 7000)
    assert config.api.listen == Address("127.0.0.1", 6081)
    assert config.api.authentication == "none"
    assert config.admin.listen is None
    assert (config.tokens.store, config.tokens.seconds) == ("memory", 600)
    assert contradictions(config) == []
    monkeypatch.setattr(FakeSocket, "taken", (6081,))
    assert demo._config(7000, "127.0.0.1:5").api.listen.port == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_one_url_and_two_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(demo, "_has_terminal", lambda: terminal)
    demo._present("http://127.0.0.1:1/console/#token=x")
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) == 3
    assert [line for line in lines if "http" in line] == ["    http://127.0.0.1:1/console/#token=x"]
    assert ("Enter" in lines[2]) == terminal


class FakeInput:
    """Standard input as a terminal whose foreground is some process group."""

    def __init__(self, *, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def fileno(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("stdin", "foreground", "there"),
    [
        (FakeInput(terminal=True), 7, True),
        (FakeInput(terminal=True), 8, False),
        (FakeInput(terminal=False), 7, False),
        (None, 7, False),
    ],
)
def test_enter_is_only_waited_for_where_it_can_come(
    monkeypatch: pytest.MonkeyPatch, stdin: FakeInput | None, foreground: int, there: bool
) -> None:
    monkeypatch.setattr(demo.sys, "stdin", stdin)
    monkeypatch.setattr(demo.os, "getpgrp", lambda: 7)
    monkeypatch.setattr(demo.os, "tcgetpgrp", lambda _: foreground)
    assert demo._has_terminal() is there


def test_a_terminal_of_another_session_has_no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(demo.sys, "stdin", FakeInput(terminal=True))
    monkeypatch.setattr(demo.os, "tcgetpgrp", refuse)
    assert demo._has_terminal()
