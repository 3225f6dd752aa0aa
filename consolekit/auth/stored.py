"""Auth: opaque tokens over any store. Knows what a token looks like; knows no HTTP and no particular store.

A token is ``ckt_`` and 32 random bytes in URL-safe base64: 256 bits, so that a plain SHA-256 is enough to
keep it by, and a prefix by which secret scanners find a leaked one. Only the hash ever reaches a store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import Awaitable
from typing import TypeVar

from consolekit.auth.base import STORE_SECONDS, AccessContext, TokenIssuer, TokenStore, TokenValidator
from consolekit.core.errors import ConsoleKitError, StoreUnavailable, TokenRefused
from consolekit.core.types import Clock, Grant, Secret

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

TOKEN_PREFIX = "ckt_"  # noqa: S105 - a public prefix, not a password
_TOKEN = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}")


def new_token() -> Secret:
    """A fresh token: 256 bits from the operating system."""
    return Secret(TOKEN_PREFIX + secrets.token_urlsafe(32))


def hash_token(token: Secret) -> str:
    """What a store knows a token by: its SHA-256 in lower-case hex.

    Raises:
        TokenRefused: it does not look like a token, whatever it is.
    """
    text = token.reveal()
    if not _TOKEN.fullmatch(text):
        raise TokenRefused("malformed")
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class StoredTokens(TokenIssuer, TokenValidator):
    """Issues and redeems opaque tokens.

    Args:
        store: Where the grants are.
        clock: Where time comes from.
        grace_seconds: How long after a break the same browser may come back.
    """

    def __init__(self, store: TokenStore, *, clock: Clock, grace_seconds: float = 30.0) -> None:
        self._store = store
        self._clock = clock
        self._grace_seconds = grace_seconds

    async def issue(self, grant: Grant) -> Secret:
        """Make the grant's token and keep the grant under its hash.

        Raises:
            StoreUnavailable: it could not be kept in time; the token, if kept at all, is unknown to anybody.
        """
        token = new_token()
        await _in_time(self._store.put(hash_token(token), grant))
        return token

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """Redeem the token, or resume with it.

        Raises:
            TokenRefused: it opens nothing. A malformed one never reaches the store.
            StoreUnavailable: it could not be told in time.
        """
        return await _in_time(self._store.take(hash_token(token), resume_hash=context.resume_hash))

    async def released(self, grant: Grant, outcome: str, *, resumable: bool) -> None:
        """Note the session's end, and open or shut the grace. Does not fail: the session is over anyway.

        While the store is away, the deadline of the first take stays: what a lost note costs is that the
        same browser may resume for longer, never that another one may.
        """
        resume_until = self._clock.now() + (self._grace_seconds if resumable else 0.0)
        try:
            await _in_time(self._store.release(grant.id, outcome=outcome, resume_until=resume_until))
        except StoreUnavailable as exc:
            _log.warning("the end of a session could not be noted: %s", exc, extra={"grant_id": grant.id})

    async def outcome(self, token: Secret, context: AccessContext) -> str | None:
        """Why the last session or attempt of this same browser ended, as a code.

        Raises:
            TokenRefused: token and resume key are not of one grant.
            StoreUnavailable: it could not be told in time.
        """
        return await _in_time(self._store.outcome(hash_token(token), resume_hash=context.resume_hash))


async def _in_time(call: Awaitable[_T]) -> _T:
    """What the store answers within its deadline; whatever else it does is StoreUnavailable."""
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await call
    except ConsoleKitError:
        raise
    except TimeoutError as exc:
        raise StoreUnavailable(f"the token store gave no answer within {STORE_SECONDS:g} s") from exc
    except Exception as exc:
        _log.exception("the token store raised what its contract does not allow")
        raise StoreUnavailable(f"the token store failed: {type(exc).__name__}") from exc
