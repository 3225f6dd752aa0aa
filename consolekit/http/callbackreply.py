"""HTTP: what a token service answers, and which grant it is. Pure; knows no connection and no token.

The answer comes from a trusted service and is outside data all the same: whatever is not exactly as the
schema says opens nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from consolekit.auth.lasting import place_name
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.schema import SERVER_ID, SUBJECT, problems_of, validator_of
from consolekit.core.types import ConsoleKey, ConsoleRequest, Grant, Mode, Secret, Target

_LONGEST_SUBJECT: Final = 128
LONGEST_REPLY: Final = 64 * 1024
REFUSALS: Final = (401, 403, 404, 410)
"""Statuses by which the service says that a token opens nothing."""

_HOST: Final = {"type": "string", "minLength": 1, "maxLength": 255}
_SECONDS: Final = {"type": "number", "exclusiveMinimum": 0, "maximum": 30 * 86400}
_WORD: Final = {"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 64}

REPLY: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["protocol", "type", "server"],
    "properties": {
        "protocol": {**_WORD, "description": "What the hypervisor speaks: `vnc`."},
        "type": {**_WORD, "description": "What the viewer is: `novnc`."},
        "server": {**SERVER_ID, "description": "Which server, in the words of its provider."},
        "subject": {**SUBJECT, "description": "For whom. Default: the setting `subject`."},
        "mode": {
            "enum": [mode.value for mode in Mode],
            "default": Mode.INTERACT.value,
            "description": "Whether the viewer may do something there (`interact`), or only look (`view`).",
        },
        "provider": {
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
            "description": "Which `[providers.NAME]` has the server. Default: the setting `provider`.",
        },
        "expires_in": {**_SECONDS, "description": "Seconds for which the token is good still. Default: "
                       "`session_seconds`."},
        "session_seconds": {**_SECONDS, "description": "The longest that the session may last. Default: the "
                            "setting of this name."},
        "target": {
            "type": "object",
            "description": "Where the console is, if the provider is not to find it; it needs an `adopt` "
            "table then.",
            "additionalProperties": False,
            "required": ["host", "port"],
            "properties": {
                "host": {**_HOST, "description": "A name or an address."},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "TCP port."},
                "access": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 8192,
                    "description": "What the hypervisor wants to be told: a path, a ticket.",
                },
            },
        },
    },
}  # fmt: skip
"""JSON Schema (2020-12) of an answer with status 200."""

WEBSOCKIFY: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host", "port"],
    "properties": {
        "host": {**_HOST, "maxLength": 110},  # so that host and port fit a server's id and a subject
        "port": {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": "^[1-9][0-9]{0,4}$"},
            ]
        },
    },
}
"""JSON Schema of what websockify's ``JSONTokenApi`` takes."""

_REPLY, _WEBSOCKIFY = validator_of(REPLY), validator_of(WEBSOCKIFY)


@attrs.frozen(kw_only=True)
class Defaults:
    """What holds where an answer does not say.

    Attributes:
        key: What a console is that only has a place.
        provider: The configured provider; empty: the answer must say.
        subject: For whom; empty: each server for itself.
        session_seconds: How long a session may last.
    """

    key: ConsoleKey
    provider: str = ""
    subject: str = ""
    session_seconds: float = 12 * 3600.0


def grant_of(
    status: int, content_type: str, body: bytes, *, name: str, now: float, defaults: Defaults
) -> Grant:
    """The grant that an answer means.

    Args:
        status: HTTP status.
        content_type: The header, empty for none.
        body: At most 64 KiB.
        name: Public name of the grant.
        now: Epoch seconds.
        defaults: What holds where the answer does not say.

    Raises:
        TokenRefused: the service does not know the token (any more).
        StoreUnavailable: it said anything else than its contract.
    """
    if status in REFUSALS:
        raise TokenRefused(f"the token service answered HTTP {status}")
    if status != 200:
        raise StoreUnavailable(f"the token service answered HTTP {status}")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise StoreUnavailable("the token service's answer is not of type application/json")
    reply = _decode(body)
    if isinstance(reply, dict) and "host" in reply:
        reply = _translated(reply, defaults.key)
    if problems := problems_of(_REPLY, reply):
        raise _wrong(problems[0])
    return _grant(reply, name, now, defaults)


def _wrong(what: object) -> StoreUnavailable:
    return StoreUnavailable(f"the token service's answer is not as its schema says: {what}")


def _decode(body: bytes) -> Any:
    """The JSON of a body, read strictly: no name twice, no NaN, UTF-8."""
    if len(body) > LONGEST_REPLY:
        raise StoreUnavailable(f"the token service's answer is over {LONGEST_REPLY // 1024} KiB long")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise StoreUnavailable("the token service's answer is not JSON") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(_: str) -> float:
    raise ValueError("not a number of JSON")


def _translated(reply: dict[str, Any], key: ConsoleKey) -> dict[str, Any]:
    """An answer of websockify's form in the words of ours."""
    if problems := problems_of(_WEBSOCKIFY, reply):
        raise _wrong(problems[0])
    host, port = reply["host"].strip("[]"), int(reply["port"])
    return {
        "protocol": key.protocol,
        "type": key.type,
        "server": place_name(host, port),
        "target": {"host": host, "port": port},
    }


def _grant(reply: Mapping[str, Any], name: str, now: float, defaults: Defaults) -> Grant:
    provider = reply.get("provider", defaults.provider)
    if not provider:
        raise _wrong("provider: is required, since no default is configured")
    session_seconds = float(reply.get("session_seconds", defaults.session_seconds))
    expires_at = now + float(reply.get("expires_in", session_seconds))
    if expires_at <= now:
        raise _wrong("expires_in: is too short")
    server, place = reply["server"], reply.get("target")
    return Grant(
        id=name,
        request=ConsoleRequest(
            key=ConsoleKey(reply["protocol"], reply["type"]),
            server_id=server,
            subject=reply.get("subject") or defaults.subject or f"http:{server}"[:_LONGEST_SUBJECT],
            mode=Mode(reply.get("mode", Mode.INTERACT.value)),
        ),
        provider=provider,
        issued_at=now,
        expires_at=expires_at,
        session_seconds=session_seconds,
        target=_target(place) if place else None,
    )


def _target(place: Mapping[str, Any]) -> Target:
    access = place.get("access")
    return Target(
        host=place["host"], port=int(place["port"]), access=Secret(access) if access is not None else None
    )
