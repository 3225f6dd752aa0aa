"""Auth: tokens that others issue, good for as long as their issuer knows them. Knows no issuer, no store.

What the validators of such tokens have in common: redeeming is looking, a grant's public name, how a session
of it ended, and what a token may be made of. ``auth.stored.SingleUse`` makes them open one session each.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections import OrderedDict
from typing import ClassVar, Final

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Grant, Secret

LONGEST: Final = 4096
"""The longest token, as the viewer page has it."""

_SENDABLE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: what a subprotocol may hold
_LAST_ENDS = 1024


def is_sendable(text: str) -> bool:
    """True if a browser can show it: a token of RFC 9110 (section 5.6.2), at most 4096 characters long.

    Names of directories (``.``, ``..``) are none: a token may become a part of a path.
    """
    return len(text) <= LONGEST and _SENDABLE.fullmatch(text) is not None and text.strip(".") != ""


def sendable(token: Secret) -> str:
    """The token's text.

    Raises:
        TokenRefused: no browser could have been given it.
    """
    if not is_sendable(token.reveal()):
        raise TokenRefused("malformed")
    return token.reveal()


def grant_name(kind: str, token: Secret, context: AccessContext) -> str:
    """One for a browser that comes back, so that its older, half-dead session ends; another for each else.

    Args:
        kind: What it begins with.
        token: The token.
        context: Who shows it.
    """
    if not context.resume_hash:
        return f"{kind}-{secrets.token_hex(8)}"
    text = f"{token.reveal()} {context.resume_hash}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kind}-{digest[:16]}"


def place_name(host: str, port: int) -> str:
    """A server's id for a console of which only the place is known; IPv6 without brackets, yet unambiguous.

    Args:
        host: A name or an address, IPv6 without brackets.
        port: TCP port.
    """
    try:
        host = ipaddress.IPv6Address(host).exploded if ":" in host else host
    except ValueError:  # no address either; whoever takes the place says so
        pass
    return f"{host}:{port}"


class LastingTokens(TokenValidator):
    """Tokens whose use is noted nowhere. ``inspect`` alone is left to say.

    Attributes:
        kind: What the public names of its grants begin with.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:
        self._ends: OrderedDict[str, str] = OrderedDict()

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """What the token stands for; it can be used again.

        Raises:
            TokenRefused: its issuer does not know it (any more).
            StoreUnavailable: it could not be told in time.
        """
        return (await self.inspect(token, context)).grant

    async def released(self, grant: Grant, outcome: str, *, resumable: bool) -> None:
        """Remember for a while why it ended, for the browser that will ask."""
        self._ends[grant.id] = outcome
        self._ends.move_to_end(grant.id)
        while len(self._ends) > _LAST_ENDS:
            self._ends.popitem(last=False)

    async def outcome(self, token: Secret, context: AccessContext) -> str | None:
        """Why the last attempt of this same browser ended, where this process has seen it end.

        Raises:
            TokenRefused: the token's issuer does not know it (any more).
            StoreUnavailable: it could not be told in time.
        """
        if not context.resume_hash or (end := self._ends.get(self.name_of(token, context))) is None:
            await self.inspect(token, context)
            return None
        return end

    def name_of(self, token: Secret, context: AccessContext) -> str:
        """The grant's public name."""
        return grant_name(self.kind, token, context)
