"""CLI: ``web status``: whether the browser's viewer is there."""

from __future__ import annotations

from pathlib import Path

import click

from consolekit import web as files
from consolekit.cli.frame import FAILURE, OK, Group
from consolekit.cli.options import config_option, json_option, setting_option
from consolekit.cli.output import fail, note, say, say_json
from consolekit.config.load import Loaded


@click.group(cls=Group)
def web() -> None:
    """See whether the browser's viewer is there."""


@web.command()
@setting_option("--web-root", "proxy.web_root", "DIRECTORY")
@json_option
@config_option
def status(loaded: Loaded, as_json: bool) -> int:
    """Say which noVNC the viewer page uses.

    When it is missing: how to get it, and exit code 1.
    """
    found = files.status(loaded.config.proxy.web_root)
    if as_json:
        say_json(
            {
                "present": found.present,
                "version": found.version,
                "source": found.source,
                "path": str(found.path),
                "licences": [str(path) for path in found.licences],
                "cure": found.cure,
            }
        )
    elif found.present:
        say(f"noVNC {found.version or '(version unknown)'}, {found.source}: {found.path}")
        for path in found.licences:
            say(f"  licence: {_under(path, found.path)}")
    else:
        fail("noVNC is missing: our own page shows no console")
        note(found.cure)
    return OK if found.present else FAILURE


def _under(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
