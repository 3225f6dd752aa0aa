"""Test support: key files, and sealed tokens as another program makes them, right and wrong.

Importable as ``sealing``. Seals with cryptography alone, so that nothing of ours checks itself.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consolekit.auth.sealed import SealedTokens
from consolekit.auth.sealedkeys import Key, KeySet, new_key, write_keys
from consolekit.core.types import Clock

AUDIENCE = "consoles.example.org"
CANARY = "canary-hypervisor.internal"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_file(path: Path, clock: Clock) -> Key:
    """Write a file with one new key; gives the key."""
    key = new_key(int(clock.now()))
    write_keys(path, KeySet((key,)), fresh=True)
    return key


def tokens(path: Path, clock: Clock, **options: Any) -> SealedTokens:
    return SealedTokens(keys_file=str(path), audience=AUDIENCE, clock=clock, **options)


def header_of(key: Key, **changes: Any) -> dict[str, Any]:
    """A right header; None leaves a member out."""
    plain = {"alg": "dir", "enc": "A256GCM", "kid": key.kid, "typ": "consolekit+jwe", **changes}
    return {name: value for name, value in plain.items() if value is not None}


def claims(clock: Clock, *, console: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Right claims; None leaves a claim out."""
    place = {
        "protocol": "vnc",
        "type": "novnc",
        "server": "web-1",
        "subject": "ann",
        "provider": "lab",
        **(console or {}),
    }
    now = clock.now()
    plain = {
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 60,
        "jti": "0123456789abcdef",
        "console": {name: value for name, value in place.items() if value is not None},
        **changes,
    }
    return {name: value for name, value in plain.items() if value is not None}


def seal(key: Key, text: bytes | dict[str, Any], header: dict[str, Any] | bytes | None = None) -> str:
    """A JWE of any text under any header, as whoever has the key can make it."""
    plain = text if isinstance(text, bytes) else json.dumps(text).encode()
    head = header if isinstance(header, bytes) else json.dumps(header or header_of(key)).encode()
    protected, iv = encoded(head), os.urandom(12)
    sealed = AESGCM(key.material).encrypt(iv, plain, protected.encode())
    return ".".join([protected, "", encoded(iv), encoded(sealed[:-16]), encoded(sealed[-16:])])
