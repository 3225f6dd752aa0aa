"""CLI: ``console create``: a link made on this machine, without the API."""

from __future__ import annotations

from collections.abc import Mapping

import click

from consolekit.cli.frame import Group
from consolekit.cli.localkit import caller, with_kit
from consolekit.cli.options import config_option, json_option
from consolekit.cli.output import moment, note, say, say_json
from consolekit.cli.wanted import wanted_console
from consolekit.config.consistency import link_problems
from consolekit.config.load import Loaded
from consolekit.core.errors import ConfigError
from consolekit.kit import ConsoleKit, ConsoleLink


@click.group(cls=Group)
def console() -> None:
    """Make links to consoles."""


@console.command()
@wanted_console
@json_option
@config_option
def create(loaded: Loaded, server: str, data: Mapping[str, str | int], as_json: bool) -> None:
    """Print a link to the console of SERVER.

    Whoever has the link opens the console, once. Needs the token store of the running proxy, so run it as
    a user that can write there.
    """
    if problems := link_problems(loaded.config):
        raise ConfigError(problems)

    async def work(kit: ConsoleKit) -> ConsoleLink:
        return await kit.create(server, data, caller=caller())

    link = with_kit(
        loaded,
        work,
        instead="ask its API for the link: POST /servers/SERVER/console",
        providers=True,
    )
    if as_json:
        say_json(
            {
                "server": link.server_id,
                "protocol": link.key.protocol,
                "type": link.key.type,
                "mode": link.mode.value,
                "url": link.url.reveal(),
                "grant": link.grant_id,
                "expires_at": moment(link.expires_at),
            }
        )
        return
    say(link.url.reveal())
    until = moment(link.expires_at)
    note(f"It opens once, until {until}. To take it back: consolekit token revoke {link.grant_id}")
