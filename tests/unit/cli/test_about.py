"""cli.about: versions, completion."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from consolekit import __version__
from consolekit.cli.main import cli


def test_versions(run: Callable[..., Result]) -> None:
    lines = run("version").stdout.splitlines()
    assert lines[0] == f"consolekit {__version__}"
    assert any(line.startswith("tornado 6") for line in lines)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run: Callable[..., Result], shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_CONSOLEKIT_COMPLETE" in result.stdout


def test_completion_completes() -> None:
    env = {"_CONSOLEKIT_COMPLETE": "bash_complete", "COMP_WORDS": "consolekit config ", "COMP_CWORD": "2"}
    result = CliRunner().invoke(cli, prog_name="consolekit", env=env)
    assert result.exit_code == 0
    assert "plain,check" in result.output
    assert "plain,init" in result.output


def test_an_unknown_shell(run: Callable[..., Result]) -> None:
    assert run("completion", "cmd").exit_code == 2
