"""CLI: ``schema``: what may be asked for here, as JSON Schema."""

from __future__ import annotations

import click

from consolekit.cli.frame import Command
from consolekit.cli.options import config_option
from consolekit.cli.output import say_json
from consolekit.config.build import build_registry
from consolekit.config.load import Loaded
from consolekit.core.errors import ConfigError, Problem
from consolekit.core.schema import ConsoleSchema


@click.command(cls=Command)
@click.option("--nova", is_flag=True, help="The schema of OpenStack Nova's remote-consoles call instead.")
@config_option
def schema(loaded: Loaded, nova: bool) -> None:
    """Print the JSON Schema (2020-12) of console requests.

    It holds exactly the <protocol, type> pairs of the configured providers, each with its parameters.
    """
    if not loaded.config.providers:
        raise ConfigError(
            [
                Problem(
                    "providers",
                    "is empty, so nothing can be asked for; `consolekit config init` writes an example",
                )
            ]
        )
    document = ConsoleSchema(build_registry(loaded))
    say_json(document.nova_document() if nova else document.document())
