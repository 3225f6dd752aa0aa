"""CLI: ``key new``: an API key, shown once; the configuration gets its hash."""

from __future__ import annotations

import click

from consolekit.cli.frame import Group
from consolekit.cli.output import note, say
from consolekit.config.template import check_key_name, key_table
from consolekit.core.types import Mode


@click.group(cls=Group)
def key() -> None:
    """Make API keys."""


@key.command()
@click.argument("name")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="PATTERN",
    help="Server ids that it may ask for, as a shell pattern; may be given several times.  [default: *]",
)
@click.option(
    "--subject",
    "subjects",
    multiple=True,
    metavar="PATTERN",
    help="Subjects that it may ask for, likewise.  [default: *]",
)
@click.option(
    "--mode",
    "modes",
    multiple=True,
    type=click.Choice([mode.value for mode in Mode]),
    help="What its consoles may be for; may be given several times.  [default: all]",
)
def new(name: str, servers: tuple[str, ...], subjects: tuple[str, ...], modes: tuple[str, ...]) -> None:
    """Make an API key for the caller NAME.

    Prints the key, and the table for the configuration. The key is shown once: only its hash is kept.
    Callers send it as `Authorization: Bearer KEY`.
    """
    from consolekit.api.callers import hash_of, new_key  # tornado comes with it

    try:
        check_key_name(name)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="NAME") from None
    secret = new_key()
    note("The key, shown this once; callers send it as `Authorization: Bearer KEY`:")
    note()
    say(secret.reveal())
    note()
    note("For the configuration of the API:")
    note()
    table = key_table(name, hash_of(secret), list(servers) or ["*"], list(subjects) or ["*"], modes)
    say(table.rstrip())
