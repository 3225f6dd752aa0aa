"""Core: what several providers of one kit use together, such as one login at a hypervisor.

Knows who still uses what; knows nothing of what it is. There is one ``Shared`` for each kit and none for the
process: two kits do not see each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

import attrs


class Closable(Protocol):
    """What can be shared."""

    async def aclose(self) -> None:
        """Called once, when nobody uses it any more."""


T = TypeVar("T", bound=Closable)


@attrs.define
class _Item:
    thing: Any
    users: int = 0


class Use(Generic[T]):
    """One user's hold on a shared thing.

    Attributes:
        thing: The thing itself; not to be closed by its users.
    """

    def __init__(self, thing: T, let_go: Callable[[], bool]) -> None:
        self.thing = thing
        self._let_go: Callable[[], bool] | None = let_go

    async def aclose(self) -> None:
        """Let go of the thing; closes it where nobody else holds it. A second call does nothing."""
        let_go, self._let_go = self._let_go, None
        if let_go is not None and let_go():
            await self.thing.aclose()


class Shared:
    """Things by key: made for the first who asks, closed when the last has let go."""

    def __init__(self) -> None:
        self._items: dict[tuple[type, Hashable], _Item] = {}

    def use(self, kind: type[T], key: Hashable, make: Callable[[], T]) -> Use[T]:
        """Hold the thing of this kind and key; where there is none (any more), make it.

        Args:
            kind: Its class, so that two kinds of things never meet under one key.
            key: What makes two of a kind the same: all that ``make`` depends on, accounts and passwords
                included. Kept in memory as long as the thing.
            make: Makes it; must not connect to anything yet.
        """
        place = (kind, key)
        item = self._items.get(place)
        if item is None:
            item = self._items[place] = _Item(make())
        item.users += 1
        return Use(item.thing, lambda: self._let_go(place, item))

    def _let_go(self, place: tuple[type, Hashable], item: _Item) -> bool:
        """True if that was the last; it leaves before it is closed, so that nobody gets a closing one."""
        item.users -= 1
        if item.users == 0:
            del self._items[place]
        return item.users == 0
