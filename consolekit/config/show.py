"""Config: the configuration in force, for people: every value, where it came from, secrets masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from consolekit.auth.base import TokenStore, TokenValidator
from consolekit.config.annotations import MASK, Schema, masked
from consolekit.config.layers import Origin, PathKey
from consolekit.config.load import Loaded
from consolekit.config.toml import toml_key, toml_value
from consolekit.core.address import Address
from consolekit.core.errors import PluginError
from consolekit.core.plugins import PROVIDERS, STORES, VALIDATORS, load
from consolekit.core.provider import ConsoleProvider

_CLASSES: Mapping[str, type[Any]] = {
    PROVIDERS: ConsoleProvider,
    STORES: TokenStore,
    VALIDATORS: TokenValidator,
}


@attrs.frozen
class Shown:
    """One value of the configuration in force.

    Attributes:
        path: Its keys.
        value: Plain data; ``***`` where it is secret.
        origin: Where it came from.
    """

    path: PathKey
    value: Any
    origin: Origin


def shown(loaded: Loaded) -> list[Shown]:
    """Every value, defaults included. Loads the plug-ins that are named, to know what they call secret."""
    config = loaded.config
    found: list[Shown] = []
    for section in ("proxy", "api", "admin", "tokens", "limits", "timeouts", "log", "hooks"):
        found += _section(loaded, (section,), getattr(config, section))
    for name, key in config.api.keys.items():
        found += _section(loaded, ("api", "keys", name), key)
    found += _options(loaded, ("tokens",), config.tokens.options, _schemas(STORES, config.tokens.store))
    for table, group in (("providers", PROVIDERS), ("validators", VALIDATORS)):
        for name, plugin in getattr(config, table).items():
            found += _section(loaded, (table, name), plugin)
            schemas = _schemas(group, plugin.use)
            found += _options(loaded, (table, name), plugin.options, schemas)
    return found


def has_secrets(loaded: Loaded) -> bool:
    """True if the configuration holds a password or its like."""
    return any(value.value == MASK and value.origin.kind == "file" for value in shown(loaded))


def as_toml(values: list[Shown], *, origin: bool) -> str:
    """The values as one TOML document, by table.

    Args:
        values: From ``shown``.
        origin: Say behind each where it came from.
    """
    tables: dict[PathKey, list[str]] = {}
    for value in values:
        line = f"{toml_key(value.path[-1])} = {toml_value(value.value)}"
        tables.setdefault(value.path[:-1], []).append(f"{line}  # {value.origin}" if origin else line)
    blocks = ["\n".join([f"[{'.'.join(map(toml_key, path))}]", *lines]) for path, lines in tables.items()]
    return "\n\n".join(blocks) + "\n"


def _section(loaded: Loaded, path: PathKey, section: Any) -> Iterator[Shown]:
    for field in attrs.fields(type(section)):
        if field.name not in ("keys", "options"):
            place = (*path, field.name)
            yield Shown(place, _plain(getattr(section, field.name)), loaded.origin(place))


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, Address | Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _options(
    loaded: Loaded, path: PathKey, options: Mapping[str, Any], schemas: list[Schema]
) -> Iterator[Shown]:
    if options:
        yield from _leaves(loaded, path, masked(options, schemas))


def _leaves(loaded: Loaded, path: PathKey, value: Any) -> Iterator[Shown]:
    if isinstance(value, Mapping) and value:
        scalars = {key: item for key, item in value.items() if not isinstance(item, Mapping)}
        for key, item in [*scalars.items(), *((k, v) for k, v in value.items() if k not in scalars)]:
            yield from _leaves(loaded, (*path, key), item)
    else:
        yield Shown(path, value, loaded.tree.origin(path))


def _schemas(group: str, name: str) -> list[Schema]:
    try:
        cls: Any = load(group, name, _CLASSES[group])
    except PluginError:
        return []  # the names of keys decide alone; `config check` says what is wrong
    return [cls.config_schema]
