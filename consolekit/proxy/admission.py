"""Proxy: who gets a session: origin, room, token, console; and why somebody got none. Knows no HTTP server.

What a handler of any server does before it answers a request for a websocket, and when the page asks why not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import parse_qs

from consolekit.auth.base import AccessContext
from consolekit.core.errors import ConsoleKitError, MalformedRequest, OriginRefused, TokenRefused
from consolekit.core.types import Secret
from consolekit.proxy.closecodes import describe, may_mend
from consolekit.proxy.session import Session, Surroundings
from consolekit.proxy.upgrade import Wish, hash_resume_key

_MAX_FIELDS = 16


class Admission:
    """The decisions before a session.

    Args:
        around: What the sessions share.
        origins: Pages that may open websockets: ``scheme://host[:port]``, lower case.
        allow_no_origin: Whether clients that are no browsers (no Origin header) may connect.

    Attributes:
        around: As given.
    """

    def __init__(self, around: Surroundings, *, origins: Collection[str], allow_no_origin: bool) -> None:
        self.around = around
        self._origins, self._allow_no_origin = origins, allow_no_origin

    def check_origin(self, origins: Sequence[str]) -> None:
        """Exact scheme, host and port; no origin at all is no browser (RFC 6455, 10.2).

        Args:
            origins: Every Origin header of the request.

        Raises:
            OriginRefused: a page that is none of ours.
        """
        if not origins and self._allow_no_origin:
            return
        if len(origins) != 1 or origins[0].lower() not in self._origins:
            raise OriginRefused("the Origin header names no page of ours")

    async def open(self, wish: Wish, *, address: str) -> Session:
        """Redeem the token, reach the console.

        Args:
            wish: What the viewer shows.
            address: The viewer's.

        Raises:
            ConsoleKitError: there is none; say so with ``refused``.
        """
        context = AccessContext(address=address, resume_hash=wish.resume_hash)
        validator, grant = await self.around.kit.validators.redeem(wish.token, context)
        session = Session(self.around, grant, validator, address=address)
        await session.open()
        return session

    def refused(self, error: ConsoleKitError, *, address: str) -> None:
        """Count it, and tell who listens."""
        self.around.metrics.refused(error.code)
        self.around.kit.hooks.notify("consolekit_access_refused", code=error.code, address=address)

    async def outcome(self, *, address: str, authorization: str, resume_key: str) -> dict[str, object]:
        """Why a console did not open: for the browser that holds the token *and* its own resume key.

        Raises:
            ConsoleKitError: this one is told nothing.
        """
        self.around.sessions.admit(address)
        scheme, _, token = authorization.partition(" ")
        resume_hash = hash_resume_key(resume_key)
        if scheme.lower() != "bearer" or not resume_hash:
            raise TokenRefused("no token, or no resume key")
        context = AccessContext(address=address, resume_hash=resume_hash)
        code = await self.around.kit.validators.outcome(Secret(token), context)
        title, resumable = describe(code or "internal")
        known = {"code": code or "unknown", "title": title, "resumable": resumable}
        return {**known, "retry": resumable and may_mend(code or "internal")}


def read_query(query: str) -> Mapping[str, Sequence[str]]:
    """The fields of a websocket's address.

    Raises:
        MalformedRequest: there are too many.
    """
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise MalformedRequest(f"the query has over {_MAX_FIELDS} fields") from None
