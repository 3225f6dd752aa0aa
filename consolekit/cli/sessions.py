"""CLI: ``sessions``: what is live, and its end; wherever it runs, through the shared store."""

from __future__ import annotations

import attrs
import click

from consolekit.cli.frame import Group
from consolekit.cli.localkit import caller, with_kit
from consolekit.cli.options import config_option, json_option
from consolekit.cli.output import moment, note, say, say_json, size, table
from consolekit.config.load import Loaded
from consolekit.core.types import SessionInfo
from consolekit.kit import ConsoleKit

_INSTEAD = "ask its API: GET and DELETE on /sessions"


_TITLES = ["SESSION", "SERVER", "CONSOLE", "MODE", "SUBJECT", "FROM", "SINCE", "SENT", "GRANT"]


@click.group(cls=Group)
def sessions() -> None:
    """See and end live consoles."""


@sessions.command("list")
@click.option("--server", metavar="ID", help="Those of one server only.")
@json_option
@config_option
def list_sessions(loaded: Loaded, server: str | None, as_json: bool) -> None:
    """List live consoles, oldest first.

    Those of every proxy that shares the token store.
    """

    async def work(kit: ConsoleKit) -> list[SessionInfo]:
        return await kit.sessions(caller=caller(), server_id=server)

    found = with_kit(loaded, work, instead=_INSTEAD)
    if as_json:
        say_json([_plain(session) for session in found])
    elif not found:
        note("no live consoles")
    else:
        table(_TITLES, _rows(found))


def _rows(found: list[SessionInfo]) -> list[list[str]]:
    return [
        [
            session.id,
            session.server_id,
            str(session.key),
            session.mode.value,
            session.subject,
            session.address,
            moment(session.started_at),
            size(session.bytes_out),
            session.grant_id,
        ]
        for session in found
    ]


def _plain(session: SessionInfo) -> dict[str, object]:
    plain = attrs.asdict(session, filter=lambda field, _: field.name not in ("key", "ended_at", "reason"))
    return {
        **plain,
        "protocol": session.key.protocol,
        "type": session.key.type,
        "mode": session.mode.value,
        "started_at": moment(session.started_at),
        "issued_at": moment(session.issued_at),
    }


@sessions.command()
@click.argument("session_id", metavar="SESSION")
@config_option
def kill(loaded: Loaded, session_id: str) -> None:
    """End a live console.

    It cannot be resumed. `consolekit sessions list` shows the ids.
    """

    async def work(kit: ConsoleKit) -> None:
        await kit.kill(session_id, caller=caller())

    with_kit(loaded, work, instead=_INSTEAD)
    say(f"session {session_id} ends now")
