"""Testing: how a named check of a store runs. Knows no particular store and no rule.

Every check runs on an event loop and a clock of its own, so no pytest plug-in is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from consolekit.auth.base import TokenStore
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Clock
from consolekit.testing.clock import ManualClock


async def refused(call: Awaitable[object], what: str) -> None:
    """Demand TokenRefused.

    Raises:
        AssertionError: it was given instead.
    """
    try:
        await call
    except TokenRefused:
        return
    raise AssertionError(f"must be refused: {what}")


_Checks = TypeVar("_Checks", bound="StoreChecks")


def check(
    body: Callable[[_Checks, TokenStore, ManualClock], Awaitable[None]],
) -> Callable[[_Checks], None]:
    """Make a plain test method of an async one that wants a store and its clock."""

    def test(self: _Checks) -> None:
        asyncio.run(_run(self, body))

    test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
    return test


class StoreChecks:
    """What runs the checks: a fresh store for each."""

    async def make_store(self, clock: Clock) -> TokenStore:
        """A store on that clock: empty at the first call of a check.

        For a ``shared`` store, a second call gives a second handle on the same content, as another
        process would have it.

        Raises:
            NotImplementedError: the subclass does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its store is made")


async def _run(checks: _Checks, body: Callable[[_Checks, TokenStore, ManualClock], Awaitable[None]]) -> None:
    """Run one check on a fresh store, and close it."""
    clock = ManualClock()
    store = await checks.make_store(clock)
    try:
        await body(checks, store, clock)
    finally:
        await store.aclose()
