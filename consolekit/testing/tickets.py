"""Testing: one-time tickets as a hypervisor keeps them. Knows no protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


class Tickets:
    """Tickets that open something once each.

    Args:
        tickets: Those that are good from the beginning.
        file: A file that tickets are appended to, by whoever gives them: one a line, as they are or as the
            member ``ticket`` of a JSON object.

    Attributes:
        taken: Those that were used, in order.
        refused: Those that were shown and not good, in order.
    """

    def __init__(self, tickets: Iterable[str] = (), *, file: Path | None = None) -> None:
        self._good = set(tickets)
        self._file = file
        self.taken: list[str] = []
        self.refused: list[str] = []

    def add(self, ticket: str) -> None:
        """Make a ticket good, once."""
        self._good.add(ticket)

    def expire(self) -> None:
        """Make every ticket that was given so far worthless."""
        self._good.clear()
        self.refused.extend(self._given() - set(self.taken))

    def take(self, ticket: str) -> bool:
        """Use a ticket; False if it is not good (any more)."""
        good = ticket in self._good or ticket in self._given()
        if not good or ticket in self.taken or ticket in self.refused:
            self.refused.append(ticket)
            return False
        self._good.discard(ticket)
        self.taken.append(ticket)
        return True

    def _given(self) -> set[str]:
        if self._file is None or not self._file.exists():
            return set()
        return {_ticket_in(line) for line in self._file.read_text("utf-8").splitlines() if line.strip()}


def _ticket_in(line: str) -> str:
    return str(json.loads(line)["ticket"]) if line.startswith("{") else line.strip()
