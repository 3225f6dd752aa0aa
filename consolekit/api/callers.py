"""API: who asks. Knows keys as hashes and the two headers they come in; knows no server and no tornado.

A key is ``cka_`` and 32 random bytes in URL-safe base64: 256 bits, so that a plain SHA-256 is enough to
keep it by. Missing, malformed and unknown keys are one and the same refusal.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import attrs

from consolekit.core.errors import CallerRefused
from consolekit.core.types import Caller, Mode, Secret

ANONYMOUS = "anonymous"
_KEY = re.compile(r"cka_[A-Za-z0-9_-]{43}")
_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)  # RFC 6750, 2.1; RFC 9110, 11.1
_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_key() -> Secret:
    """Make an API key; shown once, kept as ``hash_of``."""
    return Secret(f"cka_{secrets.token_urlsafe(32)}")


def hash_of(key: Secret) -> str:
    """What the configuration keeps of a key: its SHA-256 in lower-case hex."""
    return hashlib.sha256(key.reveal().encode()).hexdigest()


def _check_sha256(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("sha256 must be 64 lower-case hexadecimal digits")


def _patterns(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@attrs.frozen(kw_only=True)
class KeyEntry:
    """One key that may call.

    Attributes:
        sha256: SHA-256 of the key, in lower-case hex.
        servers: Shell patterns of server ids that it may ask for.
        subjects: Shell patterns of subjects that it may ask for.
        modes: The modes of consoles that it may ask for.
        see_secrets: Whether it may see what opens something at a hypervisor itself.
    """

    sha256: str = attrs.field(validator=_check_sha256)
    servers: tuple[str, ...] = attrs.field(default=("*",), converter=_patterns)
    subjects: tuple[str, ...] = attrs.field(default=("*",), converter=_patterns)
    modes: tuple[Mode, ...] = tuple(Mode)
    see_secrets: bool = False


class Callers:
    """Tells callers by their keys.

    Args:
        keys: The keys, under the names that logs and hooks know them by.

    Raises:
        ValueError: two names have the same key: the log could not tell who it was.
    """

    def __init__(self, keys: Mapping[str, KeyEntry]) -> None:
        if len({entry.sha256 for entry in keys.values()}) != len(keys):
            raise ValueError("two API keys are the same")
        self._keys = [(entry.sha256, _caller(name, entry)) for name, entry in keys.items()]
        self._open = False

    @classmethod
    def anonymous(cls) -> Self:
        """Everybody who reaches the API may call it: for loopback alone."""
        callers = cls({})
        callers._open = True
        return callers

    @property
    def is_anonymous(self) -> bool:
        """True if nobody is asked for a key."""
        return self._open

    def identify(self, authorization: Sequence[str], token: Sequence[str] = ()) -> Caller:
        """Who shows these credentials.

        Args:
            authorization: Values of the ``Authorization`` header; more than one is none.
            token: Values of ``X-Auth-Token``, where it counts; asked without ``Authorization`` only.

        Raises:
            CallerRefused: missing, malformed or unknown.
        """
        if self._open:
            return Caller(name=ANONYMOUS)
        found = self._known(_shown(authorization, token))
        if found is None:
            raise CallerRefused("no valid API key")
        return found

    def _known(self, key: str) -> Caller | None:
        """Every hash is compared, whichever fits: the time tells nothing."""
        if not _KEY.fullmatch(key):
            return None
        digest = hash_of(Secret(key))
        found = None
        for sha256, caller in self._keys:
            if hmac.compare_digest(sha256, digest):
                found = caller
        return found


def _caller(name: str, entry: KeyEntry) -> Caller:
    return Caller(
        name=name,
        servers=entry.servers,
        subjects=entry.subjects,
        modes=entry.modes,
        see_secrets=entry.see_secrets,
    )


def _shown(authorization: Sequence[str], token: Sequence[str]) -> str:
    """The key in the headers; empty if there is none or it is not clear which."""
    if not authorization and len(token) == 1:
        return token[0]
    bearer = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
    return bearer[1] if bearer else ""
