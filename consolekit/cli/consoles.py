"""CLI: ``console create`` and ``console open``: links made on this machine, or asked of a gateway's API."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import click
from click.core import ParameterSource

from consolekit.cli.browser import has_display, open_window
from consolekit.cli.frame import Group
from consolekit.cli.localkit import caller, with_kit
from consolekit.cli.options import CONFIG_HELP, config_option, json_option
from consolekit.cli.output import moment, note, say, say_json
from consolekit.cli.wanted import wanted_console
from consolekit.config.consistency import link_problems
from consolekit.config.load import Loaded
from consolekit.core.errors import ConfigError, Problem
from consolekit.core.types import ConsoleKey, Mode, Secret
from consolekit.kit import ConsoleKit, ConsoleLink


@click.group(cls=Group)
def console() -> None:
    """Make links to consoles, and open them."""


@console.command()
@wanted_console
@json_option
@config_option
def create(loaded: Loaded, server: str, data: Mapping[str, str | int], as_json: bool) -> None:
    """Print a link to the console of SERVER.

    Whoever has the link opens the console, once. Needs the token store of the running proxy, so run it as
    a user that can write there.
    """
    link = _make(loaded, server, data, instead="ask its API for the link: consolekit console open --api URL")
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
    _say_how_to_take_back(link.expires_at, link.grant_id)


def _make(loaded: Loaded, server: str, data: Mapping[str, str | int], *, instead: str) -> ConsoleLink:
    if problems := link_problems(loaded.config):
        raise ConfigError(problems)

    async def work(kit: ConsoleKit) -> ConsoleLink:
        return await kit.create(server, data, caller=caller())

    return with_kit(loaded, work, instead=instead, providers=True)


def _say_how_to_take_back(expires_at: float, grant_id: str) -> None:
    until = moment(expires_at)
    note(f"It opens once, until {until}. To take it back: consolekit token revoke {grant_id}")


@attrs.frozen(kw_only=True)
class _Remote:
    """A gateway's API and how to ask it, as the command line or the environment says."""

    url: str
    key_file: Path | None
    ca_file: Path | None

    def key(self) -> Secret | None:
        """The key: from its file, or the environment's; never from the command line, which others can see."""
        if self.key_file is None:
            shown = os.environ.get("CONSOLEKIT_API_KEY", "")
            return Secret(shown) if shown else None
        try:
            return Secret(self.key_file.read_text(encoding="utf-8").strip())
        except UnicodeDecodeError:
            raise ConfigError([Problem("--key-file", f"{self.key_file}: is no text")]) from None


@console.command("open")
@wanted_console
@click.option(
    "--api",
    metavar="URL",
    envvar="CONSOLEKIT_API_URL",
    help="Ask the API of this gateway: https://HOST[:PORT][/PATH].  [env: CONSOLEKIT_API_URL; default: make "
    "the link here, as console create does]",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="CONSOLEKIT_API_KEY_FILE",
    help="A file with the API key.  [env: CONSOLEKIT_API_KEY_FILE, or the key itself in CONSOLEKIT_API_KEY]",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="CONSOLEKIT_API_CA_FILE",
    help="PEM file of the CAs of its certificate.  [env: CONSOLEKIT_API_CA_FILE; default: the system's]",
)
@click.option("--no-browser", is_flag=True, help="Print the link only; open no browser.")
@click.option(
    "-c", "--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=CONFIG_HELP
)
@click.pass_context
def open_console(
    ctx: click.Context,
    /,
    server: str,
    data: Mapping[str, str | int],
    api: str | None,
    no_browser: bool,
    config: Path | None,
    **files: Path | None,
) -> None:
    """Show the console of SERVER in your browser.

    Asks the API of a gateway with --api (extra: client), else makes the link here. Where there is no
    browser to open, the link is printed. Other users of this machine can see what a browser is started
    with: among people whom you do not trust, use --no-browser.
    """
    if config is not None and ctx.get_parameter_source("api") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--api and --config are two places to ask; name one", ctx)
    if api and config is None:
        remote = _Remote(url=api, key_file=files["key_file"], ca_file=files["ca_file"])
        url, expires_at, grant_id = _ask(remote, server, data)
    else:
        url, expires_at, grant_id = _loaded_here(config=config, server=server, data=data)
    if no_browser or not _show(url):
        say(url)
        _say_how_to_take_back(expires_at, grant_id)
    else:
        note(f"the console of {server} opens in your browser")


def _make_here(loaded: Loaded, server: str, data: Mapping[str, str | int]) -> tuple[str, float, str]:
    link = _make(loaded, server, data, instead="ask its API for the link: --api URL")
    return link.url.reveal(), link.expires_at, link.grant_id


_loaded_here: Any = config_option(_make_here)  # as a command's function is called, with ``config``


def _ask(remote: _Remote, server: str, data: Mapping[str, Any]) -> tuple[str, float, str]:
    try:
        from consolekit.client import ConsoleClient  # an extra
    except ImportError as exc:
        raise ConfigError([Problem("--api", str(exc))]) from exc
    key = _key_of(data)
    try:
        client = ConsoleClient(remote.url, remote.key(), ca_file=remote.ca_file)
    except ConfigError as exc:
        names = {"url": "--api", "ca_file": "--ca-file", "key": "--key-file"}
        raise ConfigError(
            attrs.evolve(one, path=names.get(one.path, one.path)) for one in exc.problems
        ) from exc
    with client:
        link = client.create(
            server,
            key,
            mode=Mode(data["mode"]),
            subject=data.get("subject"),
            ttl_seconds=data.get("ttl_seconds"),
        )
    return link.url.reveal(), link.expires_at, link.grant_id


def _key_of(data: Mapping[str, Any]) -> ConsoleKey:
    try:
        return ConsoleKey(data["protocol"], data["type"])
    except ValueError as exc:
        raise ConfigError([Problem("--protocol, --type", str(exc))]) from None


def _show(url: str) -> bool:
    """Open a page in a browser; True where that was done. Links of serial lines are none of a page."""
    page = urllib.parse.urlsplit(url).scheme in ("http", "https")
    return page and has_display(os.environ) and open_window(url)
