"""CLI: ``providers list``: which hypervisors can be reached, and why not. Imports only what is configured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
import click

from consolekit.cli.frame import FAILURE, OK, Group
from consolekit.cli.options import config_option, json_option
from consolekit.cli.output import note, say, say_json, table
from consolekit.config.build import BuiltProvider, build_providers
from consolekit.config.load import Loaded
from consolekit.core.plugins import NOT_ALLOWED, PROVIDERS, PluginInfo, installed


@attrs.frozen(kw_only=True)
class Row:
    """One provider as it is listed.

    Attributes:
        name: ``NAME`` of ``[providers.NAME]``; empty where it is not configured.
        use: Its entry point.
        distribution: The package that ships it; all of them, where several claim the name.
        version: That package's version, likewise.
        contract: The version of the contract that it is written for; None where it was not imported.
        target: The entry point's ``module:attribute``.
        pairs: What it offers; empty where it was not imported.
        state: ``ok``; ``disabled`` (installed, not configured, not imported); ``shadowed`` (several packages
            claim its name, so that none of them can be used); ``failed``.
        problems: Why it is none of the first two, with the cure.
    """

    name: str = ""
    use: str
    distribution: str = ""
    version: str = ""
    contract: int | None = None
    target: str = ""
    pairs: tuple[str, ...] = ()
    state: str
    problems: tuple[str, ...] = ()


@click.group(cls=Group)
def providers() -> None:
    """See which hypervisors can be reached."""


@providers.command("list")
@click.option("-v", "--verbose", is_flag=True, help="Show the contract's version and where each comes from.")
@json_option
@config_option
def list_providers(loaded: Loaded, verbose: bool, as_json: bool) -> int:
    """List configured and installed providers.

    The state is ok; disabled: installed and not configured; shadowed: several packages claim the name, so
    none of them is used; failed: the reason and the cure stand below. A provider that is not configured is
    not imported, so what it offers is not known. Exit code 1 if a configured one cannot be used.
    """
    rows = list(_rows(loaded))
    if as_json:
        say_json([attrs.asdict(row) for row in rows])
    elif not rows:
        note("no provider is installed: pip install one, or consolekit again")
    else:
        head = ["NAME", "USE", "PACKAGE", "CONSOLES", "STATE"]
        more = ["CONTRACT", "FROM"] if verbose else []
        table([*head, *more], [_cells(row)[: len(head) + len(more)] for row in rows])
        _explain(rows)
    return FAILURE if any(row.state == "failed" for row in rows) else OK


def _cells(row: Row) -> list[str]:
    contract = "" if row.contract is None else str(row.contract)
    package = f"{row.distribution} {row.version}".strip()
    return [row.name, row.use, package, ", ".join(row.pairs), row.state, contract, row.target]


def _explain(rows: list[Row]) -> None:
    for row in rows:
        for problem in row.problems:
            note(f"{row.name or row.use}: {problem}")
    if not any(row.name for row in rows):
        say()
        say("None is configured. Put this into the configuration, with the provider's own keys:")
        say("")
        say(f'  [providers.NAME]\n  use = "{rows[0].use}"')


def _rows(loaded: Loaded) -> Iterator[Row]:
    known = installed(PROVIDERS)
    used = set()
    for built in build_providers(loaded):
        used.add(built.use)
        yield _configured(built, [info for info in known if info.name == built.use])
    claims = Counter(info.name for info in known)
    for info in known:
        if claims[info.name] > 1:
            others = [other for other in known if other.name == info.name and other != info]
            yield _row(info, "shadowed", _claimed(others))
        elif info.name not in used:
            yield _row(info, "disabled", "" if info.allowed else "; ".join(NOT_ALLOWED))


def _row(info: PluginInfo, state: str, problem: str) -> Row:
    return Row(
        use=info.name,
        distribution=info.distribution,
        version=info.version,
        target=info.target,
        state=state,
        problems=(problem,) if problem else (),
    )


def _claimed(others: Sequence[PluginInfo]) -> str:
    names = ", ".join(f"{other.distribution} {other.version}" for other in others)
    return f"{names} claims this name too, so none of them is used; uninstall all but one"


def _configured(built: BuiltProvider, infos: Sequence[PluginInfo]) -> Row:
    provider = built.provider
    return Row(
        name=built.name,
        use=built.use,
        distribution=", ".join(info.distribution for info in infos),
        version=", ".join(info.version for info in infos),
        contract=None if provider is None else provider.api_version,
        target=", ".join(info.target for info in infos),
        pairs=() if provider is None else tuple(str(key) for key in provider.keys),
        state="failed" if provider is None else "ok",
        problems=tuple(str(problem) for problem in built.problems),
    )
