"""API: what a caller may ask for. Knows patterns; knows no keys, no HTTP.

An ordinary hook plug-in, like any that a site adds: it may refuse, and other plug-ins are asked too.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from consolekit.core.hooks import Hooks, hookimpl
from consolekit.core.types import Action, Caller, Mode

NAME = "consolekit.api.keys"
_FOR_NOBODY = (Action.OFFERS, Action.CONNECT_INFO)


class KeyScope:
    """Holds callers to the server and subject patterns of their keys, and to their modes."""

    @hookimpl
    def consolekit_permit(
        self, caller: Caller, action: Action, server_id: str, subject: str, mode: Mode | None
    ) -> str | None:
        """Refuse what the caller's patterns do not cover, and consoles of a mode that it may not ask for.

        What is asked about a server, and not for somebody, has no subject that would be looked at.
        """
        if not _covers(caller.servers, server_id):
            return f"key {caller.name} is not for this server"
        if action not in _FOR_NOBODY and not _covers(caller.subjects, subject):
            return f"key {caller.name} is not for this subject"
        if mode is not None and mode not in caller.modes:
            return f"key {caller.name} is not for consoles of mode {mode.value}"
        return None


def enforce(hooks: Hooks) -> None:
    """Register the policy, once for these hooks however often it is asked for."""
    if NAME not in hooks.names():
        hooks.register(KeyScope(), NAME)


def _covers(patterns: Iterable[str], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)
