"""Providers, vSphere: from a caller's server id to vSphere's own id of the machine, remembered for minutes.

Pure: asks nobody; time is given to it.
"""

from __future__ import annotations

import re
from typing import Final

from consolekit.core.errors import AmbiguousServer, UnknownServer
from consolekit.core.types import Clock
from consolekit.providers.vsphere.results import Machine
from consolekit.providers.vsphere.settings import FindBy

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_MOID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_SECONDS: Final = 300.0
_MOST: Final = 10_000


def canonical_id(find_by: FindBy, server_id: str) -> str:
    """A server id as vSphere writes it.

    Raises:
        UnknownServer: no machine of vSphere can have this id.
    """
    if find_by is FindBy.MOID:
        if not _MOID.fullmatch(server_id):
            raise UnknownServer("this is no managed object id")
        return server_id
    if not _UUID.fullmatch(server_id):
        raise UnknownServer("this is no UUID")
    digits = server_id.replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def only_one(found: tuple[str, ...]) -> str:
    """The one machine that was found.

    Raises:
        UnknownServer: none was.
        AmbiguousServer: several were; never "the first".
    """
    if not found:
        raise UnknownServer("no machine has this id")
    if len(found) > 1:
        raise AmbiguousServer(f"{len(found)} machines have this id: {', '.join(sorted(found)[:5])}")
    return found[0]


def is_still(find_by: FindBy, canonical: str, machine: Machine) -> bool:
    """True if the machine still carries the id by which it was found."""
    told = {
        FindBy.INSTANCE_UUID: machine.instance_uuid,
        FindBy.BIOS_UUID: machine.bios_uuid,
        FindBy.MOID: machine.moid,
    }[find_by]
    return told.lower() in ("", canonical.lower())


class Moids:
    """Managed object ids by canonical server id, for minutes; the oldest goes when there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}

    def get(self, server_id: str) -> str | None:
        """The remembered id, or None."""
        moid, until = self._known.get(server_id, (None, 0.0))
        return moid if self._clock.monotonic() < until else None

    def put(self, server_id: str, moid: str) -> None:
        """Remember."""
        self._known.pop(server_id, None)
        self._known[server_id] = (moid, self._clock.monotonic() + _SECONDS)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def forget(self, server_id: str) -> None:
        """It was wrong."""
        self._known.pop(server_id, None)
