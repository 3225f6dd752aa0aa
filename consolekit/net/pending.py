"""Net: how many connections may be plain HTTP, and who makes room for one more. Knows no socket and no HTTP.

A browser keeps six connections that have been answered, until somebody closes them. Such a one is let go
before a newcomer is turned away: HTTP allows it at any time (RFC 9112, 9.5), and costs its owner a connect.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Protocol

from consolekit.core.networks import NOWHERE, Networks


class Idler(Protocol):
    """A connection that can be let go."""

    @property
    def idle(self) -> bool:
        """Whether it has been answered and nothing of another request has come, as of now."""

    def close(self) -> None:
        """Close it; before this returns, its owner calls ``Pending.forget``."""


class Pending:
    """Counts connections, in all and per address, and knows which of them have been idle longest.

    Who has asked nothing yet, is in the middle of a request, or waits for its answer is never let go for
    somebody else: else whoever comes often enough would keep everybody out.

    Args:
        most: Connections in all.
        most_of_one: Connections of one address.
        exempt: Networks for which ``most_of_one`` is not.

    Attributes:
        total: Connections now.
    """

    def __init__(self, most: int, most_of_one: int, exempt: Networks = NOWHERE) -> None:
        self.total: int = 0
        self._most, self._most_of_one, self._exempt = most, most_of_one, exempt
        self._count: Counter[str] = Counter()
        # Ordered dictionaries: the first of a plain one is slow to find where many have gone before it.
        self._idle: OrderedDict[Idler, str] = OrderedDict()
        self._idle_of: dict[str, OrderedDict[Idler, None]] = {}

    def add(self, address: str) -> None:
        """Count one more."""
        self._count[address] += 1
        self.total += 1

    def forget(self, address: str) -> None:
        """One of them is gone, or is plain HTTP no more."""
        self.total -= 1
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]

    def rests(self, one: Idler, address: str) -> None:
        """It has become idle."""
        self._idle[one] = address
        self._idle_of.setdefault(address, OrderedDict())[one] = None

    def goes_on(self, one: Idler) -> None:
        """It is idle no more, or gone; what never rested is as good."""
        address = self._idle.pop(one, None)
        if address is None:
            return
        of_address = self._idle_of[address]
        del of_address[one]
        if not of_address:
            del self._idle_of[address]

    def refusal(self, address: str) -> str:
        """Make room for a connection of this address: why there is none, empty if there is.

        Its own idle ones come first: who has too many connections takes nothing from others.
        """
        why = self.refusal_of_one(address)
        if not why and self.total >= self._most and not self._let_one_go(self._idle):
            return "pending"
        return why

    def refusal_of_one(self, address: str) -> str:
        """As ``refusal``, where it is in the total already."""
        if address in self._exempt or self._count[address] < self._most_of_one:
            return ""
        return "" if self._let_one_go(self._idle_of.get(address)) else "pending_per_address"

    def let_idle_go(self) -> None:
        """Close all that are idle."""
        while self._let_one_go(self._idle):
            pass

    def _let_one_go(self, waiting: OrderedDict[Idler, str] | OrderedDict[Idler, None] | None) -> bool:
        # Each is asked once: who turns out to be busy comes back when it rests again. So what all
        # this asking costs is bounded by the requests that have been answered.
        while waiting:
            one = next(iter(waiting))
            self.goes_on(one)
            if one.idle:
                one.close()
                return True
        return False
