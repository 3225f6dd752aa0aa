"""Example: nobody gets a console of a production server alone: a second person must have approved it.

The second person approves by making a file in a directory that all may write to and nobody may take from
others (mode 1777), on the machine that makes the links::

    touch "/var/lib/consolekit-approvals/alice@prod-db-1"

An approval counts for ten minutes and for any number of links. Whose it is says the system, not the file: its
owner. Subjects are taken to be login names. What cannot be read is no approval, and what raises refuses.
"""

from __future__ import annotations

import stat
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from consolekit import Action, Clock, Mode, hookimpl
from consolekit.core.types import SystemClock


class FourEyes:
    """Refuses links to act on servers of a pattern that nobody else has approved.

    Args:
        directory: Where approvals are, as ``SUBJECT@SERVER``, both percent-encoded.
        pattern: Shell pattern of the server ids that want one.
        seconds: For how long an approval counts.
        clock: Where time comes from.
    """

    def __init__(
        self,
        directory: Path,
        *,
        pattern: str = "prod-*",
        seconds: float = 600.0,
        clock: Clock | None = None,
    ) -> None:
        self._directory, self._pattern, self._seconds = directory, pattern, seconds
        self._clock = clock or SystemClock()

    @hookimpl
    def consolekit_permit(
        self, action: Action, server_id: str, subject: str, mode: Mode | None
    ) -> str | None:
        """Looking needs no second person; nor does ending what runs."""
        if action is not Action.CREATE or mode is Mode.VIEW or not fnmatchcase(server_id, self._pattern):
            return None
        approval = self._directory / f"{quote(subject, safe='')}@{quote(server_id, safe='')}"
        try:
            found = approval.lstat()
        except OSError:
            return "nobody has approved it"
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:  # a link may lead to somebody else's file
            return "the approval is no plain file"
        if not 0 <= self._clock.now() - found.st_mtime < self._seconds:
            return "the approval is not of the last minutes"
        if approval.owner() == subject:
            return "one's own approval does not count"
        return None
