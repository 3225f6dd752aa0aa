"""Core: entry points, the only door to stevedore. One policy for every failure.

Only names that somebody enabled are imported, each in its own ``try``: stevedore's own managers die on
``SystemExit`` and ``AssertionError`` and silently take the last of two distributions that claim a
name. Listing imports nothing.

With ``CONSOLEKIT_PLUGINS`` in the environment, names separated by commas, other packages' plug-ins that it
does not name are not imported, whatever configuration enables; empty, none is. Our own are always there.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable
from typing import Any

import attrs
from stevedore import NamedExtensionManager

from consolekit.core.errors import (
    DuplicatePlugin,
    IncompatiblePlugin,
    PluginError,
    PluginLoadFailed,
    PluginNotFound,
)

PROVIDERS = "consolekit.providers"
VALIDATORS = "consolekit.token_validators"
STORES = "consolekit.token_stores"
HOOKS = "consolekit.hooks"

ALLOW_VARIABLE = "CONSOLEKIT_PLUGINS"
"""Names of other packages' plug-ins that may be imported, separated by commas; not set: all."""

NOT_ALLOWED = (f"{ALLOW_VARIABLE} does not name it", "add it there, or unset the variable")
"""Reason and cure where the environment does not let a plug-in be imported."""

_OURS = "consolekit"


@attrs.frozen(kw_only=True)
class PluginInfo:
    """What is known of an entry point without importing it.

    Attributes:
        group: Its entry-point group.
        name: Its name; what configuration calls it.
        target: ``module:attribute``.
        distribution: Who ships it.
        version: That distribution's version.
    """

    group: str
    name: str
    target: str
    distribution: str
    version: str

    @property
    def allowed(self) -> bool:
        """Whether the environment lets it be imported."""
        names = os.environ.get(ALLOW_VARIABLE)
        if names is None or self.distribution == _OURS:
            return True
        return self.name in [name.strip() for name in names.split(",")]


def installed(group: str) -> list[PluginInfo]:
    """Every entry point of a group, sorted by name; duplicates included. Imports nothing."""
    found = {
        PluginInfo(
            group=group,
            name=point.name,
            target=point.value,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "",
        )
        for point in importlib.metadata.entry_points(group=group)
    }
    return sorted(found, key=lambda info: (info.name, info.distribution))


def load(group: str, name: str, expected: type, *, api_version: int | None = None) -> type:
    """Import one plug-in and see that it is what its group demands.

    Args:
        group: Entry-point group.
        name: Enabled name.
        expected: The class that the plug-in must be a subclass of.
        api_version: The contract's version that the class must declare; None where there is none.

    Raises:
        PluginNotFound: no installed distribution offers the name.
        DuplicatePlugin: more than one does.
        PluginLoadFailed: importing raised anything at all, it is not a subclass of ``expected``, or the
            environment does not let it be imported.
        IncompatiblePlugin: it declares another ``api_version``.
    """
    _require_one(group, name)
    plugin = _import(group, name)
    if not (isinstance(plugin, type) and issubclass(plugin, expected)):
        raise PluginLoadFailed(group, name, f"it is not a subclass of {expected.__qualname__}")
    declared = getattr(plugin, "api_version", None)
    if api_version is not None and declared != api_version:
        raise IncompatiblePlugin(
            group,
            name,
            f"it is written for contract version {declared}, this is {api_version}",
            "install a matching release of the plug-in or of consolekit",
        )
    return plugin


def load_object(group: str, name: str) -> object:
    """Import one plug-in of a group that takes any object, such as hooks.

    Raises:
        PluginNotFound: no installed distribution offers the name.
        DuplicatePlugin: more than one does.
        PluginLoadFailed: importing raised anything at all, or the environment does not let it.
    """
    _require_one(group, name)
    return _import(group, name)


def _require_one(group: str, name: str) -> None:
    candidates = [info for info in installed(group) if info.name == name]
    if not candidates:
        raise PluginNotFound(group, name, "no installed package offers it", _known(installed(group)))
    if len(candidates) > 1:
        owners = ", ".join(f"{info.distribution} {info.version}" for info in candidates)
        raise DuplicatePlugin(group, name, f"claimed by {owners}", "uninstall all but one")
    if not candidates[0].allowed:
        raise PluginLoadFailed(group, name, *NOT_ALLOWED)


def _known(infos: Iterable[PluginInfo]) -> str:
    names = ", ".join(sorted({info.name for info in infos}))
    return f"installed: {names}" if names else "none is installed"


def _import(group: str, name: str) -> object:
    failures: list[BaseException] = []

    def note(manager: object, point: object, exc: BaseException) -> None:
        failures.append(exc)

    try:
        manager: Any = NamedExtensionManager(
            group,
            [name],
            on_load_failure_callback=note,
            on_missing_entrypoints_callback=lambda names: None,  # told below, in our words
        )
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # whatever a stranger's module raises, SystemExit too
        raise _failed(group, name, exc) from exc
    if failures:
        raise _failed(group, name, failures[0]) from failures[0]
    if not manager.extensions:
        cure = "its entry points may be remembered wrongly: remove ~/.cache/python-entrypoints"
        raise PluginLoadFailed(group, name, "stevedore does not find it", cure)
    plugin: object = manager.extensions[0].plugin
    return plugin


def _failed(group: str, name: str, exc: BaseException) -> PluginError:
    cure = ""
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        cure = f"install the module {exc.name}; `pip install 'consolekit[...]'` lists the extras"
    return PluginLoadFailed(group, name, f"importing it raised {type(exc).__name__}: {exc}", cure)
