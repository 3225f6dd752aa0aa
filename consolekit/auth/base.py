"""Auth: the contracts of tokens. Knows grants and hashes; knows no HTTP, no provider, no socket.

- A ``TokenIssuer`` turns a grant into a token, a ``TokenValidator`` turns a token back into its grant.
- A ``TokenStore`` keeps grants, live sessions and revocations; the shipped issuer and validator
  (``auth.stored``) live on any store.
- A token is not a session: it is redeemed once, by one browser, and that browser alone may come
  back within the grace with the same resume key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import attrs

from consolekit.auth.life import GrantLife
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Clock, Grant, Revocation, Secret, SessionInfo

STORE_SECONDS: Final = 2.0
"""The longest that a store may take to decide anything."""

WAIT_SECONDS: Final = 10.0
"""How long ``TokenStore.revocations`` waits for news."""

OWNER_SECONDS: Final = 30.0
"""How long an owner of sessions may be silent before they count as gone."""

REVOCATION_SECONDS: Final = 3600.0
"""How long a revocation is kept for processes that were out of reach."""


@attrs.frozen(kw_only=True)
class AccessContext:
    """What is known of the browser that shows a token.

    Attributes:
        address: Its address, as far as the proxy can tell.
        resume_hash: SHA-256 (hex) of the key that this browser made for itself; empty if it made
            none: then it cannot come back after a break.
    """

    address: str = ""
    resume_hash: str = ""


class TokenIssuer(ABC):
    """Makes tokens."""

    @abstractmethod
    async def issue(self, grant: Grant) -> Secret:
        """Make the one token of this grant: at least 192 random bits, or sealed.

        Raises:
            StoreUnavailable: it could not be kept; no token exists.
        """


class TokenValidator(ABC):
    """Says what a token stands for. Entry-point group ``consolekit.token_validators``.

    Attributes:
        config_schema: JSON Schema of the operator's ``[validators.NAME]`` table without ``use`` and
            ``single_use``.
        seconds: Deadline of each of its answers; past it nothing is opened.
        single_use: Whether, where the operator does not say, its tokens are noted in the token store when
            they are redeemed, so that each opens one session. False where it sees to that itself, or where
            its issuer means them to be used again.
    """

    config_schema: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}
    seconds: float = STORE_SECONDS
    single_use: ClassVar[bool] = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, clock: Clock) -> Self:
        """Build from the operator's table, which ``config_schema`` has already accepted.

        Args:
            config: The table as plain data; relative paths in it are already absolute.
            clock: Where time comes from.

        Raises:
            ConfigError: a value is wrong in a way that no schema can say.
        """
        make: Any = cls  # its constructor is its own
        made: Self = make(**config, clock=clock)
        return made

    def recognises(self, token: Secret) -> bool:
        """Whether this is certainly one of its kind, good or bad: then no other validator is asked.

        Decided by the token's form alone, without asking anybody. Default: no form of its own.
        """
        return False

    @abstractmethod
    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """What the token stands for, expired or not, without redeeming it.

        Raises:
            TokenRefused: it is none of this validator's (malformed, unknown, forged, revoked).
            StoreUnavailable: it could not be told in time.
        """

    @abstractmethod
    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """Redeem the token: give its grant, and see to it that nobody else gets it again.

        Never returns None, never says in public why a token is refused.

        Raises:
            TokenRefused: it opens nothing (malformed, unknown, used, expired, revoked).
            StoreUnavailable: it could not be told in time; nothing may be opened.
        """

    async def released(self, grant: Grant, outcome: str, *, resumable: bool) -> None:
        """The session of the grant has ended, or never began. Default: nothing to note.

        Args:
            grant: What ``validate`` gave.
            outcome: Code of the reason; what ``outcome`` will tell the same browser.
            resumable: Whether the same browser may come back within the grace.
        """

    async def outcome(self, token: Secret, context: AccessContext) -> str | None:
        """Why the last attempt of this same browser with this token failed or ended, as a code.

        A browser's script cannot read the HTTP answer of a refused websocket; it asks here instead.

        Raises:
            TokenRefused: the token, or the browser's resume key, is not of any grant.
            StoreUnavailable: it could not be told.
        """
        return None

    def provider_names(self) -> Sequence[str]:
        """The configured providers that its grants will name, where it was told them. Default: none."""
        return ()

    async def aclose(self) -> None:
        """The validator ends; give back connections and threads. Default: nothing."""


class TokenStore(ABC):
    """Keeps grants, live sessions and revocations. Entry-point group ``consolekit.token_stores``.

    Rules that every store keeps (``consolekit.testing.TokenStoreContract`` checks them):

    - Tokens come as SHA-256 in lower-case hex; a raw token never reaches a store, and ``put`` refuses
      whatever is none (``auth.life.require_hash``).
    - **Expiry has one boundary**: a grant is alive while ``now < expires_at``.
    - ``take`` is atomic, between threads, processes and hosts that share the store.
    - A call that cannot be decided within 2 s raises ``StoreUnavailable``.

    Attributes:
        shared: True if several processes see the same content.
        config_schema: JSON Schema of the ``[tokens]`` keys that are the store's own.
    """

    shared: ClassVar[bool]
    config_schema: ClassVar[dict[str, Any]] = {"type": "object", "additionalProperties": False}

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Look at what no schema can say, without opening or connecting to anything. Default: nothing.

        Args:
            config: What ``from_config`` would get.

        Raises:
            ConfigError: ``from_config`` would refuse it.
        """
        return

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any], *, clock: Clock) -> Self:
        """Build from the operator's table, which ``config_schema`` has already accepted.

        Raises:
            ConfigError: a value is wrong in a way that no schema can say.
        """

    @abstractmethod
    async def put(self, token_hash: str, grant: Grant) -> None:
        """Keep a grant under its token's hash.

        Raises:
            ValueError: the hash is already there, or is no SHA-256 in lower-case hex.
        """

    @abstractmethod
    async def take(self, token_hash: str, *, resume_hash: str = "") -> Grant:
        """Redeem, atomically: exactly one caller gets a fresh grant.

        The first take binds the grant to ``resume_hash``. A later take succeeds only with the same,
        non-empty ``resume_hash`` before the resume deadline: first take + ``session_seconds``, or what
        ``release`` has set since the last take.

        Raises:
            TokenRefused: unknown, expired, used or revoked.
        """

    @abstractmethod
    async def inspect(self, token_hash: str) -> GrantLife:
        """What is kept under a token's hash, alive or not, without a change.

        Raises:
            TokenRefused: there is nothing (never was, revoked, or purged).
        """

    @abstractmethod
    async def release(self, grant_id: str, *, outcome: str, resume_until: float) -> None:
        """Note how the session on a taken grant ended and until when (epoch s) its browser may resume.

        Never later than first take + ``session_seconds``: else a grant could be resumed for ever. A grant
        that is not there any more, or was never taken, is no error.
        """

    async def outcome(self, token_hash: str, *, resume_hash: str) -> str | None:
        """The last ``release`` outcome of a taken grant; None if there is none yet.

        Raises:
            TokenRefused: no grant has this hash *and* was taken with this resume hash.
            StoreUnavailable: it could not be told.
        """
        life = await self.inspect(token_hash)
        if not life.belongs_to(resume_hash):
            raise TokenRefused("unknown")
        return life.outcome

    @abstractmethod
    async def grants(
        self, *, grant_id: str | None = None, server_id: str | None = None, subject: str | None = None
    ) -> list[Grant]:
        """Grants that could still open a session or may have one open, oldest first.

        That is: alive and not taken, or taken and before its resume deadline (with a resume key or
        without, so that it can be found and revoked). One that a newer version wrote is left out, and logged.

        Args:
            grant_id: Only this one; None for any.
            server_id: Only those of this server; None for any.
            subject: Only those for this subject; None for any.
        """

    @abstractmethod
    async def revoke(self, revocation: Revocation) -> int:
        """Remove the grants it kills, keep it for ``revocations``; returns how many of ``grants()`` went.

        A revocation of scope SESSION also removes that session's grant, so that it cannot be resumed; if
        the session is not known here (yet), the order is kept all the same.
        """

    @abstractmethod
    async def revocations(self, after: int) -> tuple[int, list[Revocation]]:
        """Wait for revocations with a number above ``after``, at most about 10 s.

        Args:
            after: The cursor that the last call gave; -1 gives all that is kept, at once. One that is ahead
                of the store is from an earlier life of it: everything kept comes.

        Returns:
            The new cursor and what came (empty when nothing did). Seen within 0.5 s by every process.
        """

    @abstractmethod
    async def keep_sessions(self, owner: str, infos: Sequence[SessionInfo]) -> None:
        """Replace the live sessions that ``owner`` (one proxy process) has. Called at least every 10 s."""

    @abstractmethod
    async def sessions(self) -> list[SessionInfo]:
        """Live sessions of every owner heard of in the last 30 s, oldest first."""

    @abstractmethod
    async def purge(self) -> int:
        """Forget grants past expiry and resume deadline, old revocations, silent owners; how many grants."""

    async def aclose(self) -> None:
        """Give back files and connections."""
