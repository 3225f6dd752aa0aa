"""CLI: ``providers list``: which hypervisors can be reached, and why not. Imports only what is configured."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import click

from consolekit.cli.frame import FAILURE, OK, Group
from consolekit.cli.options import config_option, json_option
from consolekit.cli.output import note, say, say_json, table
from consolekit.config.build import BuiltProvider, build_providers
from consolekit.config.load import Loaded
from consolekit.core.plugins import PROVIDERS, PluginInfo, installed


@attrs.frozen(kw_only=True)
class Row:
    """One provider as it is listed.

    Attributes:
        name: ``NAME`` of ``[providers.NAME]``; empty where it is not configured.
        use: Its entry point.
        package: Who ships it, with version.
        target: The entry point's ``module:attribute``.
        pairs: What it offers; empty where it was not imported.
        state: ``ok``, ``disabled`` (installed, not configured, not imported) or ``failed``.
        problems: Why it failed, with the cure.
    """

    name: str = ""
    use: str
    package: str = ""
    target: str = ""
    pairs: tuple[str, ...] = ()
    state: str
    problems: tuple[str, ...] = ()


@click.group(cls=Group)
def providers() -> None:
    """See which hypervisors can be reached."""


@providers.command("list")
@click.option("-v", "--verbose", is_flag=True, help="Show where each comes from too.")
@json_option
@config_option
def list_providers(loaded: Loaded, verbose: bool, as_json: bool) -> int:
    """List configured and installed providers.

    A provider that is not configured is not imported, so what it offers is not known. Exit code 1 if a
    configured one cannot be used.
    """
    rows = list(_rows(loaded))
    if as_json:
        say_json([attrs.asdict(row) for row in rows])
    elif not rows:
        note("no provider is installed: pip install one, or consolekit again")
    else:
        head = ["NAME", "USE", "PACKAGE", "CONSOLES", "STATE"]
        table(
            [*head, "FROM"] if verbose else head,
            [_cells(row)[: 6 if verbose else 5] for row in rows],
        )
        _explain(rows)
    return FAILURE if any(row.state == "failed" for row in rows) else OK


def _cells(row: Row) -> list[str]:
    return [row.name, row.use, row.package, ", ".join(row.pairs), row.state, row.target]


def _explain(rows: list[Row]) -> None:
    for row in rows:
        for problem in row.problems:
            note(f"{row.name}: {problem}")
    if not any(row.name for row in rows):
        say()
        say("None is configured. Put this into the configuration, with the provider's own keys:")
        say("")
        say(f'  [providers.NAME]\n  use = "{rows[0].use}"')


def _rows(loaded: Loaded) -> Iterator[Row]:
    known = installed(PROVIDERS)
    by_name = {info.name: info for info in known}
    used = set()
    for built in build_providers(loaded):
        used.add(built.use)
        yield _configured(built, by_name.get(built.use))
    for info in known:
        if info.name not in used:
            yield Row(use=info.name, package=_package(info), target=info.target, state="disabled")


def _configured(built: BuiltProvider, info: PluginInfo | None) -> Row:
    return Row(
        name=built.name,
        use=built.use,
        package=_package(info) if info else "",
        target=info.target if info else "",
        pairs=tuple(str(key) for key in built.provider.keys) if built.provider else (),
        state="ok" if built.provider else "failed",
        problems=tuple(str(problem) for problem in built.problems),
    )


def _package(info: PluginInfo) -> str:
    return f"{info.distribution} {info.version}".strip()
