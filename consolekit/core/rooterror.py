"""Core: the root of the error tree, in its own module so that its branches may be in theirs.

Knows nothing at all. Import from ``consolekit.core.errors``, which has every branch.
"""

from __future__ import annotations

from typing import ClassVar


class ConsoleKitError(Exception):
    """Everything that consolekit raises on purpose."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong inside the console gateway."

    @property
    def public_detail(self) -> str:
        """A sentence that may leave the process beyond ``title``; empty where nothing may."""
        return ""
