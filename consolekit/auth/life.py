"""Auth: the life of one grant, as pure rules that every shipped store follows. Knows no store, no clock."""

from __future__ import annotations

import hmac
import re
from typing import Self

import attrs

from consolekit.core.errors import TokenRefused
from consolekit.core.types import Grant

_HASH = re.compile(r"[0-9a-f]{64}")


def require_hash(token_hash: str) -> str:
    """The hash again, if it is one: a raw token must not get into a store by mistake.

    Raises:
        ValueError: it is no SHA-256 in lower-case hex.
    """
    if not _HASH.fullmatch(token_hash):
        raise ValueError("a store keeps tokens by their SHA-256 in lower-case hex, never the token itself")
    return token_hash


@attrs.frozen(kw_only=True)
class GrantLife:
    """A grant and what has happened to it so far. Every instant has one boundary: alive *before* it.

    Attributes:
        grant: The grant itself.
        used_at: When it was taken first (epoch s); None while nobody has.
        resume_hash: Whose it is since then; empty: nobody's, so that nobody can resume it.
        resume_until: Until when (epoch s) its owner may take it again.
        outcome: How its last session ended, as a code; None if none has.
    """

    grant: Grant
    used_at: float | None = None
    resume_hash: str = ""
    resume_until: float = 0.0
    outcome: str | None = None

    def taken(self, now: float, resume_hash: str) -> Self:
        """This grant after a take.

        Raises:
            TokenRefused: it is expired, used by another, or past its resume deadline.
        """
        if self.used_at is None:
            if now >= self.grant.expires_at:
                raise TokenRefused("expired")
            return attrs.evolve(
                self, used_at=now, resume_hash=resume_hash, resume_until=now + self.grant.session_seconds
            )
        if not self.belongs_to(resume_hash):
            raise TokenRefused("used")
        if now >= self.resume_until:
            raise TokenRefused("resume deadline passed")
        return attrs.evolve(self, resume_until=self.used_at + self.grant.session_seconds)

    def released(self, outcome: str, resume_until: float) -> Self:
        """This grant after its session has ended; unchanged if it never had one."""
        if self.used_at is None:
            return self
        latest = self.used_at + self.grant.session_seconds
        return attrs.evolve(self, outcome=outcome, resume_until=min(resume_until, latest))

    def belongs_to(self, resume_hash: str) -> bool:
        """True if the browser with this key is the one that took it; an empty key is nobody's."""
        if self.used_at is None or not resume_hash:
            return False
        return hmac.compare_digest(self.resume_hash.encode(), resume_hash.encode())

    def is_of(self, grant_id: str | None, server_id: str | None, subject: str | None) -> bool:
        """True if the grant is the one asked for; None asks for any."""
        return (
            grant_id in (None, self.grant.id)
            and server_id in (None, self.grant.request.server_id)
            and subject in (None, self.grant.request.subject)
        )

    def live(self, now: float) -> bool:
        """True if it could open or resume a session, or one may be open on it."""
        return now < (self.grant.expires_at if self.used_at is None else self.resume_until)

    def forgettable(self, now: float) -> bool:
        """True past expiry *and* resume deadline.

        Expiry counts for a used one too: until then its browser may ask for the outcome.
        """
        return now >= self.grant.expires_at and not self.live(now)
