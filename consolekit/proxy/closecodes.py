"""Proxy: why sessions end, in one table: slug -> close code, and whether the browser may come back.

Before the 101 a refusal is an HTTP status (``core.errors``); after it, one of these (RFC 6455, 7.4; 4000 and
up are ours). The slugs are metric labels, log keys and stored outcomes; they are public and stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import attrs

from consolekit.core.errors import every_error

_TOO_MANY: Final = HTTPStatus.TOO_MANY_REQUESTS
_NOT_THERE: Final = HTTPStatus.NOT_IMPLEMENTED


@attrs.frozen
class End:
    """One way to end.

    Attributes:
        code: Websocket close code; also what the browser sees where it still listens.
        title: For people.
        resumable: Whether the same browser may come back within the grace without a new link.
    """

    code: int
    title: str
    resumable: bool = True


ENDS: dict[str, End] = {
    "viewer_closed": End(1000, "The viewer was closed."),
    "server_closed": End(1000, "The console's server ended the connection."),
    "draining": End(1001, "The gateway is being restarted."),
    "protocol_error": End(1002, "The viewer broke the websocket protocol.", resumable=False),
    "unsupported_data": End(1003, "The viewer sent text where bytes are agreed.", resumable=False),
    "message_too_big": End(1009, "The viewer sent too large a message.", resumable=False),
    "internal": End(1011, "Something went wrong inside the console gateway."),
    "viewer_gone": End(1006, "The viewer's connection was lost."),
    "ping_timeout": End(1006, "The viewer did not answer any more."),
    "revoked": End(4000, "Access to this console was withdrawn.", resumable=False),
    "session_over": End(4001, "The session has reached its longest time.", resumable=False),
    "idle": End(4002, "The session ended because nobody used it.", resumable=False),
    "stalled": End(4003, "The connection made no progress."),
    "server_reset": End(4004, "The connection to the console's server was lost."),
    "replaced": End(4005, "This console was opened again in the same browser.", resumable=False),
    "server_protocol_error": End(4007, "The console's server broke the websocket protocol."),
    "server_moved": End(4008, "The console's server let go; it may run elsewhere now."),
    "server_taken": End(4010, "The console's server let go; another viewer may have it now."),
    "viewer_refused": End(4009, "The viewer sent what this console does not let through.", resumable=False),
    "handshake_failed": End(4006, "The viewer and the console could not agree."),
}

#: What the server's own ends mean, slug -> slug: as they are said, or as the endpoint's provider tells.
AS_SAID: Mapping[str, str] = {}
MOVED: Mapping[str, str] = {"server_closed": "server_moved"}
TAKEN: Mapping[str, str] = {"server_closed": "server_taken", "server_reset": "server_taken"}


def describe(slug: str) -> tuple[str, bool]:
    """Title and resumability of an end or of an error's code; for the page that asks why."""
    if slug in ENDS:
        return ENDS[slug].title, ENDS[slug].resumable
    error = every_error().get(slug)
    return (error.title, True) if error else (ENDS["internal"].title, True)


def may_mend(slug: str) -> bool:
    """Whether a browser that tries again by itself has a chance, or the server's state must change first."""
    if slug in ENDS:
        return ENDS[slug].resumable
    error = every_error().get(slug)
    return error is None or error.status == _TOO_MANY or (error.status >= 500 and error.status != _NOT_THERE)


def close_code(slug: str) -> int:
    """The close code of an end; 1011 for a slug that is none."""
    return ENDS.get(slug, ENDS["internal"]).code
