"""Auth: opaque tokens over any store. Knows what a token looks like; knows no HTTP and no particular store.

A token is ``ckt_`` and 32 random bytes in URL-safe base64: 256 bits, so that a plain SHA-256 is enough to
keep it by, and a prefix by which secret scanners find a leaked one. Only the hash ever reaches a store.

``SingleUse`` gives the tokens of other validators the same life in the same store.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import attrs

from consolekit.auth.base import STORE_SECONDS, AccessContext, TokenIssuer, TokenStore, TokenValidator
from consolekit.auth.intime import in_time
from consolekit.auth.life import GrantLife
from consolekit.core.errors import StoreUnavailable, TokenRefused
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


class SpentInStore(TokenValidator):
    """What validators have in common whose tokens are redeemed in a token store.

    Args:
        store: Where the grants are.
        clock: Where time comes from.
        grace_seconds: How long after a break the same browser may come back.
    """

    def __init__(self, store: TokenStore, *, clock: Clock, grace_seconds: float = 30.0) -> None:
        self._store = store
        self._clock = clock
        self._grace_seconds = grace_seconds

    def name_of(self, token: Secret) -> str:
        """What the store knows the token by.

        Raises:
            TokenRefused: it has not the form of these tokens.
        """
        return hash_token(token)

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
        return await _in_time(self._store.outcome(self.name_of(token), resume_hash=context.resume_hash))


class StoredTokens(TokenIssuer, SpentInStore):
    """Issues and redeems opaque tokens; the store holds their grants.

    Args:
        store: Where the grants are.
        clock: Where time comes from.
        grace_seconds: How long after a break the same browser may come back.
    """

    def recognises(self, token: Secret) -> bool:
        """Whether it has the form of our tokens."""
        return _TOKEN.fullmatch(token.reveal()) is not None

    async def issue(self, grant: Grant) -> Secret:
        """Make the grant's token and keep the grant under its hash.

        Raises:
            StoreUnavailable: it could not be kept in time; the token, if kept at all, is unknown to anybody.
        """
        token = new_token()
        await _in_time(self._store.put(hash_token(token), grant))
        return token

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """What is kept of the token, and whether it is used.

        Raises:
            TokenRefused: nothing is. A malformed one never reaches the store.
            StoreUnavailable: it could not be told in time.
        """
        return await _in_time(self._store.inspect(hash_token(token)))

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """Redeem the token, or resume with it.

        Raises:
            TokenRefused: it opens nothing. A malformed one never reaches the store.
            StoreUnavailable: it could not be told in time.
        """
        return await _in_time(self._store.take(hash_token(token), resume_hash=context.resume_hash))


class SingleUse(SpentInStore):
    """Another validator's tokens, each good for one session: what is redeemed is noted in the store.

    The inner validator says what a token stands for, each time; the store says whether it may be used
    still, and by whom. A revoked grant leaves the store, or was never there: so the orders themselves are
    asked before a token is noted, and they are kept for longer than a token of ours can live.

    Args:
        inner: Whose tokens; two different texts must never be the same token to it.
        store: Where the grants are noted, without a target: it may hold a secret.
        clock: Where time comes from.
        grace_seconds: How long after a break the same browser may come back.
    """

    def __init__(
        self, inner: TokenValidator, store: TokenStore, *, clock: Clock, grace_seconds: float = 30.0
    ) -> None:
        super().__init__(store, clock=clock, grace_seconds=grace_seconds)
        self._inner = inner
        self.seconds: float = inner.seconds + 3 * STORE_SECONDS

    def name_of(self, token: Secret) -> str:
        """The SHA-256 of the token, whatever its form."""
        return hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).hexdigest()

    def recognises(self, token: Secret) -> bool:
        """As the inner validator says."""
        return self._inner.recognises(token)

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """What the token stands for, and whether it is used.

        Raises:
            TokenRefused: the inner validator refuses it, or it is revoked.
            StoreUnavailable: it could not be told in time.
        """
        life = await self._inner.inspect(token, context)
        try:
            kept = await _in_time(self._store.inspect(self.name_of(token)))
        except TokenRefused:  # not redeemed yet, or revoked
            await self._check_orders(life.grant)
            return life
        return attrs.evolve(kept, grant=attrs.evolve(kept.grant, target=life.grant.target))

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """Redeem the token, or resume with it.

        Raises:
            TokenRefused: the inner validator refuses it, or it is used, expired or revoked.
            StoreUnavailable: it could not be told in time.
        """
        life = await self._inner.inspect(token, context)
        name, noted = self.name_of(token), attrs.evolve(life.grant, target=None)
        if life.live(self._clock.now()):
            await self._check_orders(noted)
            await _in_time(self._note(name, noted))
        grant = await _in_time(self._store.take(name, resume_hash=context.resume_hash))
        return attrs.evolve(grant, target=life.grant.target)

    async def _check_orders(self, grant: Grant) -> None:
        _, orders = await _in_time(self._store.revocations(-1))
        if any(order.kills(grant) for order in orders):
            raise TokenRefused("revoked")

    async def _note(self, name: str, grant: Grant) -> None:
        try:
            await self._store.put(name, grant)
        except ValueError:  # redeemed before; the store knows by whom
            pass

    def provider_names(self) -> Sequence[str]:
        """As the inner validator says."""
        return self._inner.provider_names()

    async def aclose(self) -> None:
        """End the inner validator."""
        await self._inner.aclose()


def _in_time(call: Awaitable[_T]) -> Awaitable[_T]:
    return in_time(call, STORE_SECONDS, "the token store")
