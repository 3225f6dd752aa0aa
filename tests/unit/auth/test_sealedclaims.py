"""auth.sealedclaims: grants as claims, and claims that are none."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from sealing import claims

from consolekit.auth.sealedclaims import Claims, claims_text, read_claims
from consolekit.core.types import Grant, Mode, Secret, Target
from consolekit.testing import ManualClock, example_grant

CLOCK = ManualClock()
TARGETS = [None, Target(host="h", port=1), Target(host="h", port=2, access=Secret("t"))]


def read(plain: dict[str, Any], provider: str = "", session_seconds: float = 99.0) -> Grant:
    return read_claims(json.dumps(plain).encode(), provider=provider, session_seconds=session_seconds).grant


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("mode", Mode)
def test_a_grant_comes_back(target: Target | None, mode: Mode) -> None:
    grant = example_grant(CLOCK)
    grant = attrs.evolve(grant, target=target, request=attrs.evolve(grant.request, mode=mode))
    whole = Claims(audience="gw", issuer="me", not_before=1.5, grant=grant)
    assert read_claims(claims_text(whole), provider="other", session_seconds=1) == whole


def test_what_a_token_need_not_say() -> None:
    grant = read(claims(CLOCK, console={"provider": None}), provider="lab")
    assert (grant.provider, grant.session_seconds, grant.target) == ("lab", 99.0, None)
    assert (grant.request.mode, dict(grant.request.params)) == (Mode.INTERACT, {})
    with pytest.raises(ValueError, match="names no provider"):
        read(claims(CLOCK, console={"provider": None}))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"aud": None}, "aud: is required"),
        ({"aud": ["consoles.example.org"]}, "aud: must be of type string"),
        ({"exp": None}, "exp: is required"),
        ({"exp": "1800000060"}, "exp: must be of type number"),
        ({"exp": True}, "exp: must be of type number"),
        ({"exp": 1e300}, "exp: must be at most"),
        ({"iat": None}, "iat: is required"),
        ({"iat": -1}, "iat: must be at least"),
        ({"nbf": "now"}, "nbf: must be of type number"),
        ({"jti": None}, "jti: is required"),
        ({"jti": "ckt_" + "a" * 43}, "jti: must match"),
        ({"iss": 1}, "iss: must be of type string"),
        ({"sub": "ann"}, "sub: is not known here"),
        ({"console": {"server": "../x"}}, "console.server: must match"),
        ({"console": {"server": None}}, "console.server: is required"),
        ({"console": {"subject": "a\nb"}}, "console.subject: must match"),
        ({"console": {"protocol": "VNC"}}, "console.protocol: must match"),
        ({"console": {"mode": "watch"}}, "console.mode: must be one of"),
        ({"console": {"params": []}}, "console.params: must be of type object"),
        ({"console": {"session_seconds": 0}}, "console.session_seconds: must be at least"),
        ({"console": {"target": {"host": "h"}}}, "console.target.port: is required"),
        ({"console": {"target": {"host": "h", "port": 65536}}}, "console.target.port: must be at most"),
        ({"console": {"target": {"host": "h", "port": 1.0}}}, "console.target.port: must be of type integer"),
        ({"console": {"target": {"host": "h", "port": 1, "tls": 1}}}, "console.target.tls: is not known"),
        ({"console": {"admin": True}}, "console.admin: is not known here"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_claims_that_are_none(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(claims(CLOCK, **wrong))


@pytest.mark.parametrize("plain", ["[]", "null", '"x"', "1", "{}"])
def test_json_that_is_no_claims(plain: str) -> None:
    with pytest.raises(ValueError, match=r"object|is required"):
        read_claims(plain.encode(), provider="lab", session_seconds=1)


def test_params_that_no_token_can_hold() -> None:
    grant = example_grant(CLOCK)
    for params in ({"a": Secret("s3cret")}, {"a": float("nan")}, {"a": "\ud800"}, {"a": b"x"}):
        bad = attrs.evolve(grant, request=attrs.evolve(grant.request, params=params))
        with pytest.raises(ValueError, match=r"^(?!.*s3cret)"):
            claims_text(Claims(audience="gw", grant=bad))


def test_an_error_quotes_nothing() -> None:
    with pytest.raises(ValueError, match=r"console\.target\.port") as caught:
        read(claims(CLOCK, console={"target": {"host": "s3cret", "port": "s3cret", "access": "s3cret"}}))
    assert "s3cret" not in str(caught.value)
