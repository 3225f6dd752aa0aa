"""Test support: key files, and sealed tokens as another program makes them, right and wrong.

Importable as ``sealing``. Sealed with cryptography alone, so that nothing of ours checks itself.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import zlib
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwe, jwk, jws

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


# ---- forged


def jose(key: Key, header: dict[str, Any], with_key: Any = None, text: bytes = b"{}") -> str:
    names = [header["alg"], header["enc"]]
    if with_key is None:
        with_key = jwk.OctKey.import_key(key.material)
    return jwe.encrypt_compact(header, text, with_key, algorithms=names)


@functools.cache
def rsa_key() -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(2048)


def forged(key: Key, clock: Clock) -> dict[str, str]:
    """Tokens that somebody could try, by what is wrong with them."""
    good, plain = seal(key, claims(clock)), json.dumps(claims(clock)).encode()
    head, _, iv, text, tag = good.split(".")
    none = encoded(json.dumps({"alg": "none", "typ": "consolekit+jwe"}).encode())
    rsa = rsa_key()
    elliptic = jwk.ECKey.generate_key("P-256")
    other = attrs.evolve(key, material=bytes(reversed(key.material)))
    deep = b'{"console":' * 100_000
    squeezed = zlib.compress(b" " * 3_000_000, 9, -15)[:2500]
    return {
        "alg none": f"{none}.{encoded(plain)}.",
        "alg none of five parts": f"{none}..{iv}.{encoded(plain)}.",
        "alg none in our header": seal(key, plain, header_of(key, alg="none")),
        "RSA-OAEP": jose(key, header_of(key, alg="RSA-OAEP"), rsa, plain),
        "PBES2": jose(key, header_of(key, alg="PBES2-HS256+A128KW", p2c=1000), None, plain),
        "ECDH-ES": jose(key, header_of(key, alg="ECDH-ES"), elliptic, plain),
        "A256KW": jose(key, header_of(key, alg="A256KW"), None, plain),
        "A256CBC-HS512": seal(key, plain, header_of(key, enc="A256CBC-HS512")),
        "A128GCM": seal(key, plain, header_of(key, enc="A128GCM")),
        "lower-case alg": seal(key, plain, header_of(key, alg="DIR")),
        "alg as a list": seal(key, plain, header_of(key, alg=["dir"])),
        "signed with the key": jws.serialize_compact(
            {"alg": "HS256", "kid": key.kid, "typ": "consolekit+jwe"},
            plain,
            jwk.OctKey.import_key(key.material),
            algorithms=["HS256"],
        ),
        "wrong key": seal(other, plain),
        "unknown kid": seal(attrs.evolve(key, kid="ffffffff"), plain),
        "kid as a path": seal(key, plain, header_of(key, kid="../../dev/null")),
        "no kid": seal(key, plain, header_of(key, kid=None)),
        "kid that is no text": seal(key, plain, header_of(key, kid=7)),
        "another typ": seal(key, plain, header_of(key, typ="JWT")),
        "crit": seal(key, plain, header_of(key, crit=["exp"], exp=1)),
        "crit that is empty": seal(key, plain, header_of(key, crit=[])),
        "b64": seal(key, plain, header_of(key, b64=False)),
        "jku": seal(key, plain, header_of(key, jku="https://192.0.2.1/")),
        "jwk": seal(key, plain, header_of(key, jwk={"kty": "oct", "k": encoded(other.material)})),
        "cty": seal(key, plain, header_of(key, cty="JWT")),
        "zip bomb": seal(key, squeezed, header_of(key, zip="DEF")),
        "header twice": seal(key, plain, json.dumps(header_of(key)).encode()[:-1] + b',"alg":"dir"}'),
        "header as a list": seal(key, plain, b"[]"),
        "header of nothing": seal(key, plain, b" "),
        "header that is long": seal(key, plain, json.dumps(header_of(key)).encode() + b" " * 600),
        "an encrypted key": f"{head}.{encoded(key.material)}.{iv}.{text}.{tag}",
        "a short tag": f"{head}..{iv}.{text}.{encoded(decoded(tag)[:12])}",
        "no tag": f"{head}..{iv}.{text}.",
        "a long iv": f"{head}..{iv}AAAA.{text}.{tag}",
        "no text": f"{head}..{iv}..{tag}",
        "padding": f"{head}..{iv}.{text}.{tag}==",
        "four parts": f"{head}.{iv}.{text}.{tag}",
        "six parts": good + ".",
        "1 MB": seal(key, claims(clock, console={"params": {"a": "x" * 1_000_000}})),
        "100 000 deep": seal(key, deep),
        "2 000 deep": seal(key, b"[" * 2000),
        "a name twice": seal(key, plain[:-1] + b',"aud":"' + AUDIENCE.encode() + b'"}'),
        "not UTF-8": seal(key, plain[:-1] + b',"iss":"\xff"}'),
        "NaN": seal(key, plain.replace(b'"exp": 1', b'"exp": NaN, "x": 1')),
        "text that is no claims": seal(key, b"null"),
        "an empty text": seal(key, b""),
        "nothing": "",
        "a text of ours": "ckt_" + "a" * 43,
        "no ASCII": good.replace(".", "\u3002"),
        "half a pair": good + "\ud800",
        "NUL": good + "\0",
        "a line's end": good + "\n",
    }
