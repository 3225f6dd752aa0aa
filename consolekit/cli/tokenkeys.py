"""CLI: ``token keys``: the file with the keys of sealed tokens. Never prints a key."""

from __future__ import annotations

from pathlib import Path

import click

from consolekit.auth.sealedkeys import KeySet, change_keys, new_key, read_keys, write_keys
from consolekit.cli.frame import Group
from consolekit.cli.options import json_option
from consolekit.cli.output import moment, note, say, say_json, table
from consolekit.core.types import SystemClock

_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group(cls=Group)
def keys() -> None:
    """Make and rotate the keys of sealed tokens.

    In a file of mode 0600, which `keys_file` of `[validators.NAME]` names. A running gateway reads it again
    when it changes.
    """


@keys.command()
@_FILE
def new(file: Path) -> None:
    """Write FILE with one new key.

    Nothing is overwritten.
    """
    made = new_key(_now())
    try:
        write_keys(file, KeySet((made,)), fresh=True)
    except FileExistsError:
        raise click.ClickException(f"{file} is there already; to add a key: token keys rotate") from None
    say(made.kid)
    note(f"{file} is written. Who can read it can open every console: copy it over safe ways only.")


@keys.command()
@_FILE
def rotate(file: Path) -> None:
    """Add a new key to FILE, and seal with it from now on.

    The older ones open what they have sealed, until they are retired.
    """
    changed = change_keys(file, lambda known: known.rotated(_now()))
    say(changed.sealing.kid)
    note(f"Take the older keys out when none of their tokens is in use: token keys retire {file} KID")


@keys.command()
@_FILE
@click.argument("kid")
def retire(file: Path, kid: str) -> None:
    """Take the key KID out of FILE.

    What it has sealed opens nothing any more, and cannot be resumed; live consoles go on.
    """

    def without(known: KeySet) -> KeySet:
        try:
            return known.without(kid)
        except ValueError as exc:
            raise click.ClickException(f"{file}: {exc}") from None

    change_keys(file, without)
    say(f"key {kid} is retired")


@keys.command("list")
@_FILE
@json_option
def list_keys(file: Path, as_json: bool) -> None:
    """List the keys in FILE, without the keys themselves."""
    known = read_keys(file)
    rows = [
        {
            "kid": key.kid,
            "created_at": moment(key.created),
            "state": key.state,
            "seals": key.kid == known.sealing.kid,
        }
        for key in known.keys
    ]
    if as_json:
        say_json(rows)
        return
    cells = [[str(row["kid"]), str(row["created_at"]), _use(row["state"], row["seals"])] for row in rows]
    table(["KEY", "CREATED", "USE"], cells)


def _use(state: object, seals: object) -> str:
    return "seals and opens" if seals else f"opens ({state})"


def _now() -> int:
    return int(SystemClock().now())
