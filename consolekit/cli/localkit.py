"""CLI: a kit for one administrative command, over the store that the running servers share."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import TypeVar

from consolekit.config.build import build_kit
from consolekit.config.load import Loaded
from consolekit.core.errors import ConfigError, Problem
from consolekit.core.registry import ProviderRegistry
from consolekit.core.types import Caller
from consolekit.kit import ConsoleKit

_Result = TypeVar("_Result")


def caller() -> Caller:
    """Who asks: the user of this machine. Who can read the store may do everything with it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = "unknown"
    return Caller(name=f"local:{name}")


def with_kit(
    loaded: Loaded, work: Callable[[ConsoleKit], Awaitable[_Result]], *, instead: str, providers: bool = False
) -> _Result:
    """Do something with a kit, and close it.

    Args:
        loaded: The configuration.
        work: What to do.
        instead: What to do where the store is one process's own.
        providers: Whether ``work`` needs the providers; without, one that is broken stands in nobody's way.

    Raises:
        ConfigError: the store is one process's own, or the configuration names what cannot be used.
    """
    kit = build_kit(loaded, registry=None if providers else ProviderRegistry())
    return asyncio.run(_do(kit, work, instead))


async def _do(kit: ConsoleKit, work: Callable[[ConsoleKit], Awaitable[_Result]], instead: str) -> _Result:
    try:
        if not kit.store.shared:
            message = f"is a store that only the running server sees; {instead}"
            raise ConfigError([Problem("tokens.store", message)])
        return await work(kit)
    finally:
        await kit.aclose()
