"""CLI: ``console create``: a link made on this machine, without the API."""

from __future__ import annotations

import click

from consolekit.cli.frame import Group
from consolekit.cli.localkit import caller, with_kit
from consolekit.cli.options import config_option, json_option
from consolekit.cli.output import moment, note, say, say_json
from consolekit.config.consistency import link_problems
from consolekit.config.load import Loaded
from consolekit.core.errors import ConfigError
from consolekit.core.schema import MAX_TTL_SECONDS
from consolekit.core.types import Mode
from consolekit.kit import ConsoleKit, ConsoleLink


@click.group(cls=Group)
def console() -> None:
    """Make links to consoles."""


@console.command()
@click.argument("server")
@click.option("--protocol", default="vnc", show_default=True, help="What the hypervisor speaks.")
@click.option("--type", "kind", default="novnc", show_default=True, help="What the viewer is.")
@click.option("--view", is_flag=True, help="For looking only: what the viewer puts in is dropped.")
@click.option("--subject", help="For whom the link is.  [default: local:USER]")
@click.option(
    "--ttl",
    type=click.IntRange(1, MAX_TTL_SECONDS),
    metavar="SECONDS",
    help="How long it may be opened.  [default: tokens.seconds]",
)
@json_option
@config_option
def create(
    loaded: Loaded,
    server: str,
    protocol: str,
    kind: str,
    view: bool,
    subject: str | None,
    ttl: int | None,
    as_json: bool,
) -> None:
    """Print a link to the console of SERVER.

    Whoever has the link opens the console, once. Needs the token store of the running proxy, so run it as
    a user that can write there.
    """
    if problems := link_problems(loaded.config):
        raise ConfigError(problems)
    mode = Mode.VIEW if view else Mode.INTERACT
    data: dict[str, str | int] = {"protocol": protocol, "type": kind, "mode": mode.value}
    if subject is not None:
        data["subject"] = subject
    if ttl is not None:
        data["ttl_seconds"] = ttl

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
    note(f"It opens once, until {until}. To take it back: consolekit grants revoke {link.grant_id}")
