"""CLI: what all commands share: ``--debug`` anywhere, exit codes, and errors as people read them.

Nobody is shown a traceback who did not ask for one.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import attrs
import click

from consolekit.cli.logs import redact
from consolekit.cli.output import fail, note
from consolekit.core.errors import ConfigError, ConsoleKitError, InvalidRequest, RequestError

OK, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130


@attrs.define
class Invocation:
    """What one call of the program remembers.

    Attributes:
        debug: Whether tracebacks are wanted.
    """

    debug: bool = False


def _debug_option(*, hidden: bool) -> click.Option:
    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.ensure_object(Invocation).debug = True

    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        hidden=hidden,
        callback=remember,
        help="Show the traceback of an error. May stand behind any command.",
    )


class Command(click.Command):
    """A command that takes ``--debug`` behind its name too."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, and the hidden one."""
        return [*super().get_params(ctx), _debug_option(hidden=True)]


class Group(click.Group):
    """A group of such commands, listed in the order in which they were written."""

    command_class: type[click.Command] | None = Command

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The group's own parameters, and the hidden one."""
        return [*super().get_params(ctx), _debug_option(hidden=ctx.parent is not None)]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names, in order."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was meant.

        Raises:
            click.UsageError: there is none; says which is near.
        """
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            near = difflib.get_close_matches(args[0], known, n=1)
            ctx.fail(f"no such command: {args[0]!r}." + (f" Did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)


Group.group_class = Group


class RootGroup(Group):
    """The program: imports a command's module when it is needed, and turns errors into exit codes.

    Args:
        lazy: By name, ``module:attribute`` and the line of help, so that ``--help`` imports nothing.
        **rest: What ``click.Group`` takes.
    """

    def __init__(self, *, lazy: Mapping[str, tuple[str, str]], **rest: Any) -> None:
        super().__init__(**rest)
        self.lazy: dict[str, tuple[str, str]] = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in order."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command.

        Returns:
            None if there is no such command.
        """
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])

    def main(self, *args: Any, **rest: Any) -> Any:
        """Run; never returns, and always exits with a documented code."""
        sys.exit(self._outcome(Invocation(), *args, **rest))

    def _outcome(self, invocation: Invocation, *args: Any, **rest: Any) -> int:
        run: Any = super().main
        try:
            result = run(*args, **{**rest, "standalone_mode": False, "obj": invocation})
            sys.stdout.flush()
        except Exception as exc:
            if invocation.debug:
                note(redact(traceback.format_exc()))
            return exit_code(exc)
        return result if type(result) is int else OK


def exit_code(exc: Exception) -> int:
    """Tell an error on standard error; what to exit with."""
    if isinstance(exc, click.exceptions.Abort):
        note("interrupted")
        return INTERRUPTED
    if isinstance(exc, click.exceptions.NoArgsIsHelpError):
        note(exc.format_message())
        return USAGE
    if isinstance(exc, click.ClickException):
        if isinstance(exc, click.UsageError) and exc.ctx is not None:
            note(f"{exc.ctx.get_usage()}\nTry '{exc.ctx.command_path} --help' for help.\n")
        fail(exc.format_message())
        return exc.exit_code
    if isinstance(exc, ConfigError | InvalidRequest):
        fail(exc.title[0].lower() + exc.title[1:].rstrip(".") + ":", exc.problems)
        return USAGE
    if isinstance(exc, BrokenPipeError):
        # whoever read our output has gone; the interpreter must not stumble over it once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    if isinstance(exc, ConsoleKitError):
        fail(redact(str(exc) or exc.title))
        return USAGE if isinstance(exc, RequestError) else FAILURE
    if isinstance(exc, OSError) and exc.strerror:
        fail(redact(f"{exc.strerror}: {exc.filename}" if exc.filename else exc.strerror))
        return FAILURE
    fail(redact(f"unexpected {type(exc).__name__}: {exc}"))
    note("This is a bug, or a broken plug-in; run with --debug for the traceback.")
    return FAILURE
