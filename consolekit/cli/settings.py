"""CLI: ``config init``, ``check``, ``show``. Opens no port and no token store."""

from __future__ import annotations

import os
from pathlib import Path

import click

from consolekit import web
from consolekit.cli.frame import Group
from consolekit.cli.options import CONFIG_HELP, config_option
from consolekit.cli.output import note, say, warn
from consolekit.config.build import plugin_problems
from consolekit.config.certificates import certificate_problems, expiry_problems
from consolekit.config.consistency import role_problems
from consolekit.config.layers import DEFAULT_FILE
from consolekit.config.load import Loaded, load
from consolekit.config.show import as_toml, has_secrets, shown
from consolekit.config.template import example
from consolekit.core.errors import ConfigError, Problem
from consolekit.core.types import SystemClock


@click.group(cls=Group)
def config() -> None:
    """Write, check and show the configuration.

    One TOML file, under the environment (CONSOLEKIT_SECTION__KEY), under the flags. The file is the one of
    --config, or of $CONSOLEKIT_CONFIG, or /etc/consolekit/consolekit.toml; never one found where you are.
    """


@config.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
def init(path: Path | None) -> None:
    """Write a commented configuration to PATH, with a fresh API key.

    The key is printed once; the file holds its hash. Nothing is overwritten. PATH defaults to
    /etc/consolekit/consolekit.toml for root, to consolekit.toml here for others.
    """
    from consolekit.api.callers import hash_of, new_key  # tornado comes with it

    place = path or (DEFAULT_FILE if os.geteuid() == 0 else Path("consolekit.toml"))
    if place.is_dir():
        place /= "consolekit.toml"
    secret = new_key()
    _write_new(place, example(key_sha256=hash_of(secret)))
    note(f'{place} is written. The API key of its caller "portal", shown this once:')
    note()
    say(secret.reveal())
    note()
    named = "" if place == DEFAULT_FILE else f" --config {place}"
    note("Next: put your servers into its last part, then")
    note(f"  consolekit config check{' ' + str(place) if named else ''}")
    note(f"  consolekit serve{named}")


def _write_new(place: Path, text: str) -> None:
    """Write a file that is not there yet, readable by its owner alone: it may come to hold passwords."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{place} is there already; give another PATH, or move it away") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@config.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--for",
    "role",
    type=click.Choice(["serve", "proxy", "api"]),
    default="serve",
    show_default=True,
    help="The command that it must do for.",
)
@click.option("-c", "--config", "other", type=click.Path(path_type=Path), metavar="FILE", help=CONFIG_HELP)
def check(file: Path | None, role: str, other: Path | None) -> None:
    """Find every mistake in the configuration.

    One line for each and exit code 2, or one line and 0. Reads the file and the environment, loads the
    providers, hooks and the store's class, looks at certificates and keys. Opens no port, no token store
    and no connection.
    """
    loaded = load(file or other, also=plugin_problems)
    problems = role_problems(loaded.config, proxy=role != "api", api=role != "proxy")
    problems += plugin_problems(loaded)
    unusable = certificate_problems(loaded.config)
    expired, soon = expiry_problems(loaded.config, SystemClock().now())
    if problems := problems + unusable + expired:
        raise ConfigError(problems)
    for problem in soon + _cautions(loaded):
        warn(str(problem))
    count = len(loaded.config.providers)
    say(
        f"{loaded.file or 'The environment'} is right: {count} provider{'' if count == 1 else 's'}, store "
        f"{loaded.config.tokens.store}, API keys: {', '.join(loaded.config.api.keys) or 'none'}"
    )


def _cautions(loaded: Loaded) -> list[Problem]:
    """What works and deserves a look."""
    found = []
    viewer = web.status(loaded.config.proxy.web_root)
    if not viewer.present:
        found.append(Problem("proxy.web_root", f"noVNC is missing: {viewer.cure}"))
    if loaded.file and loaded.file.stat().st_mode & 0o004 and has_secrets(loaded):
        message = f"holds secrets and everybody may read it: chmod o-r {loaded.file}"
        found.append(Problem(str(loaded.file), message))
    for section, key in (("proxy", loaded.config.proxy.key), ("api", loaded.config.api.key)):
        if key and key.stat().st_mode & 0o004:
            found.append(Problem(f"{section}.key", f"everybody may read it: chmod o-r {key}"))
    return found


@config.command()
@click.option("--origin", is_flag=True, help="Say behind each value where it came from.")
@config_option
def show(loaded: Loaded, origin: bool) -> None:
    """Print the configuration in force.

    As TOML, with defaults, environment and file laid over each other; secrets as ***.
    """
    say(as_toml(shown(loaded), origin=origin).rstrip())
