"""cli.main: what stands in --help, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from consolekit import __version__
from consolekit.cli.main import cli


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


def test_help_names_commands_exit_codes_and_where_to_begin(run: Callable[..., Result]) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in cli.lazy:
        assert f"  {name} " in result.stdout
    for said in ("Exit codes:", "130  interrupted", "consolekit demo", "--debug"):
        assert said in result.stdout


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_explains_itself(run: Callable[..., Result], command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"Usage: consolekit {' '.join(command)}")
    assert "--debug" not in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


def test_the_list_says_of_each_command_what_the_command_says_of_itself() -> None:
    context = click.Context(cli)
    for name, (_, text) in cli.lazy.items():
        command = cli.get_command(context, name)
        assert command is not None
        own = command.get_short_help_str(200)
        assert own.split()[0] == text.split()[0], f"{name}: {own!r} and {text!r}"


def test_version(run: Callable[..., Result]) -> None:
    assert run("--version").stdout == f"consolekit {__version__}\n"


@pytest.mark.parametrize("args", [["--help"], ["config", "check", "--help"], ["serve", "--help"]])
def test_help_imports_no_server(args: list[str]) -> None:
    code = (
        "import sys; from consolekit.cli.main import cli\n"
        f"try: cli({args!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(','.join({'tornado', 'prometheus_client'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["serv"], "Did you mean serve?"),
        (["config", "chek"], "Did you mean check?"),
        (["xyzzy"], "no such command: 'xyzzy'"),
        (["sessions", "--json"], "No such option '--json'"),
        (["key", "new"], "Missing argument 'NAME'"),
        (["demo", "--port", "x"], "not a valid integer"),
    ],
)
def test_a_wrong_command_line(run: Callable[..., Result], args: list[str], said: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert "--help" in result.stderr


@pytest.mark.parametrize("args", [[], ["config"]])
def test_without_a_command_the_help_is_shown(run: Callable[..., Result], args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: consolekit")
    assert "error:" not in result.stderr


def test_no_line_of_the_lists_is_cut(run: Callable[..., Result]) -> None:
    for name in cli.lazy:
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            assert "..." not in run(name, "--help").stdout.partition("Commands:")[2]
