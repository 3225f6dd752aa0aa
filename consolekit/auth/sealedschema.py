"""Auth: how sealed tokens, their keys and their configuration are written. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from consolekit.core.schema import MAX_TTL_SECONDS, SERVER_ID, SUBJECT, validator_of
from consolekit.core.types import Mode

TYP: Final = "consolekit+jwe"
"""``typ`` of the header (RFC 7516, 4.1.11): by this we know our own."""

ALG: Final = "dir"
ENC: Final = "A256GCM"

_INSTANT = {"type": "number", "minimum": 0, "maximum": 1e11}
_NAME = {**SUBJECT, "minLength": 1}
_WORD = {"type": "string", "maxLength": 64, "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"}
_KID = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}

GRANT_ID: Mapping[str, Any] = {"type": "string", "pattern": "^(?!ck[at]_)[A-Za-z0-9][A-Za-z0-9_-]{7,63}$"}
"""``jti``: it becomes the grant's public name, so it may not look like a token, and has no dot."""

HEADER: Final = validator_of(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["alg", "enc", "kid", "typ"],
        "properties": {
            "alg": {"const": ALG},
            "enc": {"const": ENC},
            "kid": _KID,
            "typ": {"const": TYP},
        },
    }
)
"""The protected header: these four members, and none that changes what they mean (``crit``, ``zip``)."""

CLAIMS: Final = validator_of(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["aud", "iat", "exp", "jti", "console"],
        "properties": {
            "aud": {"type": "string"},
            "iss": {"type": "string"},
            "iat": _INSTANT,
            "nbf": _INSTANT,
            "exp": _INSTANT,
            "jti": GRANT_ID,
            "console": {
                "type": "object",
                "additionalProperties": False,
                "required": ["protocol", "type", "server", "subject"],
                "properties": {
                    "protocol": _WORD,
                    "type": _WORD,
                    "server": SERVER_ID,
                    "subject": SUBJECT,
                    "mode": {"enum": [mode.value for mode in Mode]},
                    "provider": {"type": "string", "minLength": 1, "maxLength": 64},
                    "params": {"type": "object"},
                    "session_seconds": {"type": "number", "minimum": 1, "maximum": 1e8},
                    "target": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["host", "port"],
                        "properties": {
                            "host": {"type": "string", "minLength": 1, "maxLength": 255},
                            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                            "access": {"type": "string", "minLength": 1, "maxLength": 2048},
                        },
                    },
                },
            },
        },
    }
)
"""What is sealed: the registered claims (RFC 7519, 4.1) and ``console``."""

KEY_FILE: Final = validator_of(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["keys"],
        "properties": {
            "keys": {
                "type": "array",
                "minItems": 1,
                "maxItems": 64,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["kty", "kid", "k", "created", "state"],
                    "properties": {
                        "kty": {"const": "oct"},
                        "kid": _KID,
                        "k": {"type": "string"},
                        "created": {**_INSTANT, "type": "integer"},
                        "state": {"enum": ["active", "retiring"]},
                    },
                },
            }
        },
    }
)
"""A JWK set (RFC 7517, 5) of symmetric keys (RFC 7518, 6.4), each with its age and whether it seals."""

CONFIG_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["keys_file", "audience"],
    "properties": {
        "keys_file": {
            "type": "string",
            "format": "path",
            "description": "The keys, as `consolekit token keys new` makes them; mode 0600. Read again "
            "when it changes.",
        },
        "audience": {
            **_NAME,
            "description": "Which gateway the tokens are for: their `aud` must be exactly this.",
        },
        "issuer": {
            **_NAME,
            "description": "What tokens that are made here say in `iss`. Default: nothing.",
        },
        "issuers": {
            "type": "array",
            "items": _NAME,
            "description": "Whose tokens are good besides ours: their `iss`. Empty: of all who have a key.",
        },
        "provider": {
            "type": "string",
            "minLength": 1,
            "description": "The `[providers.NAME]` of tokens that name none.",
        },
        "max_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_TTL_SECONDS,
            "default": MAX_TTL_SECONDS,
            "description": "The longest time between a token's `iat` and its `exp`.",
        },
        "leeway_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": 60,
            "default": 5.0,
            "description": "How far ahead a maker's clock may be (`iat`, `nbf`). `exp` has none.",
        },
        "session_seconds": {
            "type": "number",
            "minimum": 1,
            "default": 43200.0,
            "description": "How long the session of a token may last that does not say.",
        },
    },
}
"""JSON Schema (2020-12) of a ``[validators.NAME]`` table with ``use = "sealed"``."""
