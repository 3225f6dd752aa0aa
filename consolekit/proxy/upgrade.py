"""Proxy: what a browser's opening handshake says (RFC 6455, 4.2.1). Pure; knows no socket and no session."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence

import attrs

from consolekit.core.errors import BadUpgrade, TokenRefused, UpgradeRequired
from consolekit.core.types import Secret

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TOKEN = "consolekit.token."  # noqa: S105 - the prefix, not a token
_RESUME = "consolekit.resume."
_RESUME_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
_SUBPROTOCOL = "binary"


@attrs.frozen(kw_only=True)
class Wish:
    """What a viewer shows to get a session.

    Attributes:
        subprotocol: What to select; empty where the client offered nothing.
        token: The token it shows.
        resume_hash: SHA-256 (hex) of the browser's own resume key; empty if it made none.
    """

    subprotocol: str
    token: Secret
    resume_hash: str


@attrs.frozen(kw_only=True)
class Upgrade(Wish):
    """A valid opening handshake.

    Attributes:
        accept: The value of ``Sec-WebSocket-Accept``.
    """

    accept: str

    def response(self) -> bytes:
        """The 101, whole. Extensions are declined by not naming them."""
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {self.accept}",
        ]
        if self.subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {self.subprotocol}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def parse_upgrade(
    version: str,
    headers: Mapping[str, Sequence[str]],
    query_tokens: Sequence[str],
    query_keys: Sequence[str] = (),
) -> Upgrade:
    """Read the opening handshake.

    Args:
        version: ``HTTP/1.1``.
        headers: Values by lower-case name, one entry a header line.
        query_tokens: Every ``token`` of the URL's query, as Nova-style clients send it.
        query_keys: Every ``resume`` of it: the key of a viewer that cannot name subprotocols.

    Raises:
        UpgradeRequired: no websocket handshake, or not version 13.
        BadUpgrade: a handshake that breaks RFC 6455.
        TokenRefused: no token, more than one, or not one.
    """
    if version != "HTTP/1.1" or _words(headers, "upgrade") != ["websocket"]:
        raise UpgradeRequired("no websocket handshake")
    if "upgrade" not in _words(headers, "connection"):
        raise UpgradeRequired("the Connection header does not say upgrade")
    if list(headers.get("sec-websocket-version", ())) != ["13"]:
        raise UpgradeRequired("not websocket version 13")
    offers = [word.strip() for line in headers.get("sec-websocket-protocol", ()) for word in line.split(",")]
    accept = _accept(headers.get("sec-websocket-key", ()))
    wish = parse_offers(offers, query_tokens, query_keys)
    return Upgrade(
        accept=accept, subprotocol=wish.subprotocol, token=wish.token, resume_hash=wish.resume_hash
    )


def parse_offers(
    offers: Sequence[str], query_tokens: Sequence[str] = (), query_keys: Sequence[str] = ()
) -> Wish:
    """Read the subprotocols that a viewer offers, in a handshake that somebody else has judged.

    Args:
        offers: The subprotocols, in order.
        query_tokens: Every ``token`` of the URL's query.
        query_keys: Every ``resume`` of it.

    Raises:
        BadUpgrade: ours is not among them.
        TokenRefused: no token, more than one, or not one.
    """
    return Wish(
        subprotocol=_select(offers),
        token=_token(offers, query_tokens),
        resume_hash=_resume_hash(offers, query_keys),
    )


def _words(headers: Mapping[str, Sequence[str]], name: str) -> list[str]:
    return [word.strip().lower() for line in headers.get(name, ()) for word in line.split(",")]


def _accept(keys: Sequence[str]) -> str:
    try:
        valid = len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16
    except (binascii.Error, ValueError):
        valid = False
    if not valid:
        raise BadUpgrade("Sec-WebSocket-Key must be given once, 16 bytes in base64")
    return accept_value(keys[0])


def accept_value(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` of a ``Sec-WebSocket-Key`` (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def _select(offers: Sequence[str]) -> str:
    if not offers:
        return ""
    if _SUBPROTOCOL not in offers:
        raise BadUpgrade(f"the only subprotocol here is {_SUBPROTOCOL!r}; it was not offered")
    return _SUBPROTOCOL


def _token(offers: Sequence[str], query_tokens: Sequence[str]) -> Secret:
    shown = [offer.removeprefix(_TOKEN) for offer in offers if offer.startswith(_TOKEN)]
    shown += query_tokens
    if len(shown) != 1:
        raise TokenRefused("no token" if not shown else "more than one token")
    return Secret(shown[0])


def _resume_hash(offers: Sequence[str], query_keys: Sequence[str]) -> str:
    keys = [offer.removeprefix(_RESUME) for offer in offers if offer.startswith(_RESUME)]
    keys += query_keys
    return hash_resume_key(keys[0]) if len(keys) == 1 else ""


def hash_resume_key(key: str) -> str:
    """SHA-256 in hex of a well-formed resume key; empty for anything else."""
    if not _RESUME_KEY.fullmatch(key):
        return ""
    return hashlib.sha256(key.encode("ascii")).hexdigest()
