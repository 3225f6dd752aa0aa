"""Fuzz target: any answer of a token service over HTTP. It is a grant, a refusal, or no answer."""

from __future__ import annotations

from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import ConsoleKey
from consolekit.http.callbackreply import REFUSALS, REPLY, Defaults, grant_of

_DEFAULTS = Defaults(key=ConsoleKey("vnc", "novnc"), provider="lab")
_NOW = 1_800_000_000.0
_STATUS = (200, 201, 302, 401, 403, 404, 410, 500)

SEEDS = [
    b'\0{"protocol":"vnc","type":"novnc","server":"web-1"}',
    b'\0{"protocol":"vnc","type":"novnc","server":"web-1","provider":"lab","mode":"view","expires_in":5,'
    b'"session_seconds":60.5,"subject":"ann","target":{"host":"10.0.0.5","port":5900,"access":"x"}}',
    b'\0{"host":"10.0.0.5","port":"5900"}',
    b'\0{"host":"::1","port":5900.0}',
    b"\3{}",
]

WORDS = [f'"{name}"'.encode() for name in (*REPLY["properties"], "host", "port", "access", "vnc", "view")]


def one_input(data: bytes) -> None:
    """Which status, then the body."""
    status = _STATUS[data[0] % len(_STATUS)] if data else 200
    try:
        grant = grant_of(status, "application/json", data[1:], name="http-1", now=_NOW, defaults=_DEFAULTS)
    except TokenRefused:
        assert status in REFUSALS
        return
    except StoreUnavailable:
        assert status not in REFUSALS
        return
    assert status == 200
    assert grant.expires_at > _NOW
    assert grant.provider
    assert grant.target is None or (grant.target.host and 1 <= grant.target.port <= 65535)
