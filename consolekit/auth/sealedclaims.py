"""Auth: grants as the claims of a sealed token (RFC 7519, 4.1), both ways. Knows no key and no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from consolekit.auth.exact import read_json
from consolekit.auth.sealedschema import CLAIMS
from consolekit.core.schema import problems_of
from consolekit.core.types import ConsoleKey, ConsoleRequest, Grant, Mode, Secret, Target


@attrs.frozen(kw_only=True)
class Claims:
    """What a sealed token says.

    Attributes:
        audience: Which gateway it is for.
        grant: What it stands for; provider and ``session_seconds`` as the token or the defaults say.
        issuer: Who made it; None where it does not say.
        not_before: Epoch seconds; None where it does not say.
    """

    audience: str
    grant: Grant
    issuer: str | None = None
    not_before: float | None = None


def claims_text(claims: Claims) -> bytes:
    """The claims as JSON.

    Raises:
        ValueError: the grant holds what no token can: its name is none, or ``params`` are no plain JSON.
    """
    grant = claims.grant
    optional = {"iss": claims.issuer, "nbf": claims.not_before}
    plain = {
        "aud": claims.audience,
        **{name: value for name, value in optional.items() if value is not None},
        "iat": grant.issued_at,
        "exp": grant.expires_at,
        "jti": grant.id,
        "console": _console(grant),
    }
    try:
        text = json.dumps(plain, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, RecursionError) as exc:
        raise ValueError(f"its params are no plain JSON: {type(exc).__name__}") from None
    _checked(text)
    return text


def _console(grant: Grant) -> dict[str, Any]:
    request, target = grant.request, grant.target
    plain: dict[str, Any] = {
        "protocol": request.key.protocol,
        "type": request.key.type,
        "server": request.server_id,
        "subject": request.subject,
        "provider": grant.provider,
        "session_seconds": grant.session_seconds,
    }
    if request.mode is not Mode.INTERACT:
        plain["mode"] = request.mode.value
    if request.params:
        plain["params"] = dict(request.params)
    if target is not None:
        access = {"access": target.access.reveal()} if target.access else {}
        plain["target"] = {"host": target.host, "port": target.port, **access}
    return plain


def read_claims(text: bytes, *, provider: str, session_seconds: float) -> Claims:
    """The claims back; times are not looked at.

    Args:
        text: What was sealed.
        provider: Where the token names none; empty for none.
        session_seconds: Where the token does not say.

    Raises:
        ValueError: they are none; says where and why, never what stands there.
    """
    plain = _checked(text)
    console = plain["console"]
    if not (name := console.get("provider", provider)):
        raise ValueError("it names no provider, and none is the default")
    return Claims(
        audience=plain["aud"],
        issuer=plain.get("iss"),
        not_before=plain.get("nbf"),
        grant=Grant(
            id=plain["jti"],
            request=_request(console),
            provider=name,
            issued_at=plain["iat"],
            expires_at=plain["exp"],
            session_seconds=console.get("session_seconds", session_seconds),
            target=_target(console.get("target")),
        ),
    )


def _checked(text: bytes) -> Mapping[str, Any]:
    plain: Mapping[str, Any] = read_json(text)
    if problems := problems_of(CLAIMS, plain):
        raise ValueError(str(problems[0]))
    return plain


def _request(console: Mapping[str, Any]) -> ConsoleRequest:
    return ConsoleRequest(
        key=ConsoleKey(console["protocol"], console["type"]),
        server_id=console["server"],
        subject=console["subject"],
        mode=Mode(console.get("mode", Mode.INTERACT.value)),
        params=console.get("params", {}),
    )


def _target(plain: Mapping[str, Any] | None) -> Target | None:
    if plain is None:
        return None
    if type(plain["port"]) is not int:  # 5900.0 is an integer to JSON Schema
        raise ValueError("console.target.port: must be of type integer")
    access = plain.get("access")
    return Target(host=plain["host"], port=plain["port"], access=Secret(access) if access else None)
