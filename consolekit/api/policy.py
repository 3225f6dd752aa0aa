"""API: what a caller may ask for. Knows patterns; knows no keys, no HTTP.

An ordinary hook plug-in, like any that a site adds: it may refuse, and other plug-ins are asked too.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from consolekit.core.hooks import Hooks, hookimpl
from consolekit.core.types import Action, Caller

NAME = "consolekit.api.keys"
_FOR_NOBODY = (Action.OFFERS, Action.CONNECT_INFO)


class KeyScope:
    """Holds callers to the server and subject patterns of their keys."""

    @hookimpl
    def consolekit_permit(self, caller: Caller, action: Action, server_id: str, subject: str) -> str | None:
        """Refuse what the caller's patterns do not cover.

        What is asked about a server, and not for somebody, has no subject that would be looked at.
        """
        if not _covers(caller.servers, server_id):
            return f"key {caller.name} is not for this server"
        if action not in _FOR_NOBODY and not _covers(caller.subjects, subject):
            return f"key {caller.name} is not for this subject"
        return None


def enforce(hooks: Hooks) -> None:
    """Register the policy, once for these hooks however often it is asked for."""
    if NAME not in hooks.names():
        hooks.register(KeyScope(), NAME)


def _covers(patterns: Iterable[str], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)
