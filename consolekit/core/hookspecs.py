"""Core: the hooks that plug-ins may implement. Signatures and names are public and stay.

Hooks tell everyone; they never choose (that is what entry points are for). All are plain functions,
called in the event loop's thread, once per request or session, never per frame; so they must not
block. ``consolekit_permit`` may refuse and never grant; an exception in it refuses. An exception
in any other hook is logged and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import pluggy

from consolekit.core.types import Action, Caller, ConsoleRequest, Mode, Revocation, SessionInfo

PROJECT = "consolekit"
hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)


class HookSpecs:
    """Every hook; implement any subset as functions of a module or methods of an object."""

    @hookspec
    def consolekit_permit(
        self, caller: Caller, action: Action, server_id: str, subject: str, mode: Mode | None
    ) -> str | None:
        """May this caller do this? Return the reason of a refusal for the log, or None for no objection.

        Every implementation is asked; any refusal refuses. Asked before a console is created, a grant is
        revoked, a session is listed or killed. ``mode`` is what the console would let its viewer do; None
        where the action opens none. Like any argument it may be left out.
        """

    @hookspec
    def consolekit_request_validated(self, request: ConsoleRequest, caller: Caller) -> None:
        """A request passed the schema and the permit hooks; no provider has been asked yet."""

    @hookspec
    def consolekit_session_opening(self, session: SessionInfo) -> None:
        """A token was redeemed; the target is about to be connected."""

    @hookspec
    def consolekit_session_opened(self, session: SessionInfo) -> None:
        """The handshake is done; bytes flow."""

    @hookspec
    def consolekit_session_closed(self, session: SessionInfo) -> None:
        """Both sides are closed; ``session`` has its end, bytes and reason. Once for every opening."""

    @hookspec
    def consolekit_revoked(self, revocation: Revocation, removed: int) -> None:
        """A revocation was ordered through this kit and is in the store; ``removed`` grants went with it.

        Live sessions end wherever they are; each tells ``consolekit_session_closed`` in its own process.
        """

    @hookspec
    def consolekit_step(self, step: str, labels: Mapping[str, str]) -> AbstractContextManager[object] | None:
        """A request, or a call to somebody else, begins; what is returned is entered now and left at its end.

        For traces. ``step`` is ``create`` (a link is made) or ``open`` (a browser wants its console), and
        inside of them ``issue``, ``store``, ``validator``, ``provider``, ``connect`` or ``handshake``;
        ``labels`` say which. The context manager gets the exception that ended the step, and cannot
        swallow it.
        """

    @hookspec
    def consolekit_access_refused(self, code: str, address: str) -> None:
        """A browser was refused before any session began; ``code`` is the error's stable code."""
