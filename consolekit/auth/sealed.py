"""Auth: sealed tokens: the grant itself, encrypted, so that no store is needed to make or to read one.

JWE in compact form (RFC 7516) with one key that gateway and issuers share: ``dir`` and ``A256GCM``
(RFC 7518, 4.5 and 5.3), and nothing else. Who has no key can neither read one (no host, no secret) nor make
one. The one door to joserfc, which gets to see only what has passed here: five parts that are written in one
way, a header of exactly our four members, a key that we have.

A token that is read here may still be used or revoked: ``SingleUse`` and the store know.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from consolekit.auth.base import AccessContext, TokenIssuer, TokenValidator
from consolekit.auth.exact import read_base64url, read_json
from consolekit.auth.life import GrantLife
from consolekit.auth.sealedclaims import Claims, claims_text, read_claims
from consolekit.auth.sealedkeys import Key, KeyFile
from consolekit.auth.sealedschema import ALG, CONFIG_SCHEMA, ENC, HEADER, TYP
from consolekit.core.errors import ConfigError, InvalidRequest, Problem, TokenRefused
from consolekit.core.schema import MAX_TTL_SECONDS, problems_of
from consolekit.core.types import Clock, Grant, Secret

MAX_CHARACTERS: Final = 4096
"""The longest token: it travels in one line of an HTTP header."""

_LONGEST_HEADER: Final = 512
_IV_BYTES, _TAG_BYTES = 12, 16


class SealedTokens(TokenIssuer, TokenValidator):
    """Seals grants into tokens, and opens them.

    Args:
        keys_file: Where the keys are.
        audience: Which gateway the tokens are for.
        clock: Where time comes from.
        issuer: What our own tokens say of their maker; empty: nothing.
        issuers: Whose tokens are good besides; with none, any maker's that has a key.
        provider: The configured provider of tokens that name none; empty for none.
        max_seconds: The longest time between ``iat`` and ``exp``.
        leeway_seconds: How far ahead of ours the clock of a token's maker may be.
        session_seconds: How long the session of a token may last that does not say.

    Raises:
        ConfigError: the extra is not installed, or the keys cannot be used.
    """

    config_schema: ClassVar[Mapping[str, Any]] = CONFIG_SCHEMA
    single_use: ClassVar[bool] = True

    def __init__(
        self,
        *,
        keys_file: str,
        audience: str,
        clock: Clock,
        issuer: str = "",
        issuers: Sequence[str] = (),
        provider: str = "",
        max_seconds: int = MAX_TTL_SECONDS,
        leeway_seconds: float = 5.0,
        session_seconds: float = 12 * 3600.0,
    ) -> None:
        self._jose = _Jose()
        self._keys = KeyFile(Path(keys_file), clock=clock)
        self._audience, self._issuer, self._clock = audience, issuer or None, clock
        self._issuers = frozenset({issuer, *issuers} - {""}) if issuers else None
        self._provider, self._session_seconds = provider, session_seconds
        self._max_seconds, self._leeway_seconds = max_seconds, leeway_seconds

    # ---- making

    async def issue(self, grant: Grant) -> Secret:
        """Seal the grant, with its target if it has one.

        Raises:
            InvalidRequest: it is too large for a token, or lives too long.
            ConfigError: what is made here would be refused here: ``issuers`` without ``issuer``.
        """
        if self._issuers is not None and self._issuer is None:
            message = "is needed to make tokens: with issuers, one that does not say its maker is refused"
            raise ConfigError([Problem("issuer", message)])
        if grant.expires_at - grant.issued_at > self._max_seconds:
            raise InvalidRequest([Problem("ttl_seconds", f"must be at most {self._max_seconds}")])
        try:
            text = claims_text(Claims(audience=self._audience, issuer=self._issuer, grant=grant))
        except ValueError as exc:
            raise InvalidRequest([Problem("", f"no sealed token can hold it: {exc}")]) from None
        token = self._jose.seal(text, self._keys.keys().sealing)
        if len(token) > MAX_CHARACTERS:
            message = f"are too large: a sealed token has at most {MAX_CHARACTERS} characters"
            raise InvalidRequest([Problem("params", message)])
        return Secret(token)

    # ---- reading

    def recognises(self, token: Secret) -> bool:
        """Whether it has five parts and a header that says our type."""
        try:
            header = _header(token.reveal().split("."))
        except ValueError:
            return False
        return isinstance(header, dict) and header.get("typ") == TYP

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """Open the token; an expired one too: the session that it has opened may be resumed.

        Raises:
            TokenRefused: it is none that was sealed for us, with a key of ours, by whom we trust, for a
                time that we allow and that has begun.
        """
        try:
            return GrantLife(grant=self._opened(token.reveal()))
        except ValueError as exc:
            raise TokenRefused(f"sealed token: {exc}") from None

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """Open a token that is still good.

        Raises:
            TokenRefused: as for ``inspect``, or it is expired.
        """
        life = await self.inspect(token, context)
        if not life.live(self._clock.now()):
            raise TokenRefused("sealed token: expired")
        return life.grant

    def provider_names(self) -> Sequence[str]:
        """The configured provider of tokens that name none."""
        return [self._provider] if self._provider else []

    def _opened(self, token: str) -> Grant:
        claims = read_claims(
            self._jose.open(token, self._key_of(token)),
            provider=self._provider,
            session_seconds=self._session_seconds,
        )
        if claims.audience != self._audience:
            raise ValueError("it is for another audience")
        if self._issuers is not None and claims.issuer not in self._issuers:
            raise ValueError("its issuer is none of ours")
        self._check_times(claims)
        return claims.grant

    def _key_of(self, token: str) -> Key:
        """The key that a well-formed token names.

        Raises:
            ValueError: it is not well-formed, not sealed our way, or we do not have the key.
        """
        if len(token) > MAX_CHARACTERS:
            raise ValueError("too long")
        parts = token.split(".")
        header = _header(parts)
        if problems := problems_of(HEADER, header):
            raise ValueError(f"header: {problems[0]}")
        encrypted_key, iv, _, tag = map(read_base64url, parts[1:])
        if encrypted_key or len(iv) != _IV_BYTES or len(tag) != _TAG_BYTES:
            raise ValueError("its parts have not the lengths of dir and A256GCM")
        key = self._keys.keys().get(header["kid"])
        if key is None:
            raise ValueError("unknown key")
        return key

    def _check_times(self, claims: Claims) -> None:
        begun = self._clock.now() + self._leeway_seconds
        issued, expires = claims.grant.issued_at, claims.grant.expires_at
        if issued > begun:
            raise ValueError("issued in the future")
        if claims.not_before is not None and claims.not_before > begun:
            raise ValueError("not valid yet")
        if not 0 < expires - issued <= self._max_seconds:
            raise ValueError(f"it does not live between 0 and {self._max_seconds} s")


def _header(parts: Sequence[str]) -> Any:
    """The protected header of a token's parts; no more than JSON.

    Raises:
        ValueError: there are not five parts, or the first is no header.
    """
    if len(parts) != 5 or len(parts[0]) > _LONGEST_HEADER:
        raise ValueError("not five parts with a short header")
    return read_json(read_base64url(parts[0]))


class _Jose:
    """What we need of joserfc, with the algorithms fixed."""

    def __init__(self) -> None:
        try:
            from joserfc import jwe
            from joserfc.errors import JoseError
            from joserfc.jwk import OctKey
        except ModuleNotFoundError as exc:
            cure = "pip install 'consolekit[sealed]'"
            raise ConfigError([Problem("", f"joserfc is not installed: {cure}")]) from exc
        self._jwe, self._error = jwe, JoseError
        # joserfc tries every kind of certificate on a key before it takes it: once is enough
        self._imported = functools.lru_cache(64)(lambda key: OctKey.import_key(key.material))
        self._registry = jwe.JWERegistry(algorithms=[ALG, ENC])

    def seal(self, text: bytes, key: Key) -> str:
        header = {"alg": ALG, "enc": ENC, "kid": key.kid, "typ": TYP}
        return self._jwe.encrypt_compact(header, text, self._imported(key), registry=self._registry)

    def open(self, token: str, key: Key) -> bytes:
        """What was sealed.

        Raises:
            ValueError: not with this key, or it was changed since.
        """
        try:
            found = self._jwe.decrypt_compact(token, self._imported(key), registry=self._registry)
        except (self._error, ValueError):  # its text is of no use to anybody
            raise ValueError("it does not open") from None
        return found.plaintext or b""
