"""CLI: ``version`` and ``completion``."""

from __future__ import annotations

import importlib.metadata
import platform

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from consolekit.__about__ import __version__
from consolekit.cli.frame import Command
from consolekit.cli.output import say

_SHOWN = ("tornado", "cryptography", "attrs")
_COMPLETIONS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_INSTALL = {
    "bash": 'eval "$(consolekit completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(consolekit completion zsh)"   in ~/.zshrc',
    "fish": "consolekit completion fish > ~/.config/fish/completions/consolekit.fish",
}


@click.command(cls=Command)
def version() -> None:
    """Print the versions of consolekit and of what it stands on."""
    say(f"consolekit {__version__}")
    say(f"Python {platform.python_version()} ({platform.system()} {platform.machine()})")
    for name in _SHOWN:
        say(f"{name} {importlib.metadata.version(name)}")


@click.command(
    cls=Command, epilog="\b\nTo install it:\n" + "\n".join(f"  {how}" for how in _INSTALL.values())
)
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes the Tab key complete `consolekit` commands in SHELL."""
    found = _COMPLETIONS[shell]
    say(found(ctx.find_root().command, {}, "consolekit", "_CONSOLEKIT_COMPLETE").source())
