"""cli.frame: every error has its exit code and its line, and nobody sees a traceback unasked."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from consolekit.cli import frame
from consolekit.cli.frame import Command, Group, RootGroup
from consolekit.core.errors import (
    ConfigError,
    InvalidRequest,
    NotFound,
    Problem,
    StoreUnavailable,
    UnsupportedConsole,
)

TOKEN = "ckt_" + "x" * 43
TO_RAISE: list[Any] = [None]


@click.command(cls=Command)
def work() -> int | None:
    """Do what the test wants."""
    if isinstance(TO_RAISE[0], BaseException):
        raise TO_RAISE[0]
    result: int | None = TO_RAISE[0]
    return result


@click.group(cls=Group)
def group() -> None:
    """A group."""


group.add_command(work)
root = RootGroup(
    name="root", lazy={"work": (f"{__name__}:work", "Work."), "group": (f"{__name__}:group", "Group.")}
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {"work": work, "group": group}
    monkeypatch.setattr(root, "get_command", lambda ctx, name: commands.get(name))


def call(outcome: object, *args: str) -> Result:
    TO_RAISE[0] = outcome
    return CliRunner().invoke(root, args or ["work"])


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (True, 0), ("x", 0)])
def test_a_command_says_its_exit_code(result: object, code: int) -> None:
    assert call(result).exit_code == code


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            ConfigError([Problem("a.b", "is wrong"), Problem("c", "is required")]),
            2,
            "error: the configuration is wrong:\n  a.b: is wrong\n  c: is required\n",
        ),
        (
            InvalidRequest([Problem("type", "is required")]),
            2,
            "error: the request does not match the console schema:\n  type: is required\n",
        ),
        (UnsupportedConsole("a/b", ["c/d"]), 2, "error: console a/b is not offered; valid pairs: c/d\n"),
        (NotFound("no session 'x'"), 1, "error: no session 'x'\n"),
        (StoreUnavailable(), 1, "error: Consoles cannot be opened right now. Try again in a few seconds.\n"),
        (
            FileNotFoundError(2, "No such file or directory", "/x"),
            1,
            "error: No such file or directory: /x\n",
        ),
        (OSError(98, "Address already in use"), 1, "error: Address already in use\n"),
        (click.ClickException("x is there already"), 1, "error: x is there already\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            KeyError(TOKEN),
            1,
            "error: unexpected KeyError: 'ckt_***'\n"
            "This is a bug, or a broken plug-in; run with --debug for the traceback.\n",
        ),
    ],
)
def test_errors(error: BaseException, code: int, said: str) -> None:
    result = call(error)
    assert result.exit_code == code
    assert result.stderr.lstrip("\n") == said
    assert result.stdout == ""


@pytest.mark.parametrize(
    "args",
    [
        ["--debug", "work"],
        ["work", "--debug"],
        ["group", "work", "--debug"],
        ["group", "--debug", "work"],
    ],
)
def test_debug_shows_the_traceback_wherever_it_stands(args: list[str]) -> None:
    result = call(KeyError(TOKEN), *args)
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert TOKEN not in result.stderr


def test_debug_does_not_last() -> None:
    call(None, "work", "--debug")
    assert "Traceback" not in call(KeyError("x")).stderr


def test_a_reader_that_has_gone_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[tuple[int, int]] = []
    monkeypatch.setattr(frame.os, "open", lambda *_: 99)
    monkeypatch.setattr(frame.os, "dup2", lambda *pair: closed.append(pair))
    monkeypatch.setattr(frame.sys.stdout, "fileno", lambda: 1, raising=False)
    assert frame.exit_code(BrokenPipeError()) == 1
    assert closed == [(99, 1)]
