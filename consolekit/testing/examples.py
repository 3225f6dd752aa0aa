"""Testing: grants, sessions and hashes to test with. Knows no store."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from consolekit.core.types import Clock, ConsoleKey, ConsoleRequest, Grant, SessionInfo

TTL: Final = 60.0
"""Life of an example's token."""

SESSION: Final = 3600.0
"""Longest life of an example's session."""


def example_grant(
    clock: Clock,
    *,
    id: str = "",
    server_id: str = "web-1",
    subject: str = "ann",
    ttl: float = TTL,
    session_seconds: float = SESSION,
) -> Grant:
    """A grant issued now.

    Args:
        clock: Where now comes from.
        id: Its public name; default: a fresh one.
        server_id: Which server.
        subject: For whom.
        ttl: Seconds until its token expires.
        session_seconds: The longest that its session may live.
    """
    now = clock.now()
    return Grant(
        id=id or secrets.token_hex(8),
        request=ConsoleRequest(
            key=ConsoleKey("vnc", "novnc"),
            server_id=server_id,
            subject=subject,
            params={"depth": [1, {"b": None}], "name": "süß"},
        ),
        provider="lab",
        issued_at=now,
        expires_at=now + ttl,
        session_seconds=session_seconds,
    )


def example_session(grant: Grant, clock: Clock, *, id: str = "") -> SessionInfo:
    """A session on a grant, begun now.

    Args:
        grant: What it lives on.
        clock: Where now comes from.
        id: Its public name; default: a fresh one.
    """
    return SessionInfo(
        id=id or secrets.token_hex(8),
        grant_id=grant.id,
        key=grant.request.key,
        server_id=grant.request.server_id,
        subject=grant.request.subject,
        address="192.0.2.7",
        started_at=clock.now(),
        issued_at=grant.issued_at,
    )


def example_hash(text: str) -> str:
    """The hash of any text, as stores get it."""
    return hashlib.sha256(text.encode()).hexdigest()
