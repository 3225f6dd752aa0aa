"""Fuzz target: any headers as a browser's opening handshake. It is one, or one of three errors."""

from __future__ import annotations

from consolekit.core.errors import BadUpgrade, TokenRefused, UpgradeRequired
from consolekit.proxy.upgrade import parse_upgrade

_GOOD = (
    b"upgrade: websocket\nconnection: keep-alive, Upgrade\nsec-websocket-version: 13\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\n"
)
_TOKEN = b"ckt_" + b"a" * 43

SEEDS = [
    _GOOD + b"?token: " + _TOKEN,
    _GOOD
    + b"sec-websocket-protocol: binary, consolekit.token."
    + _TOKEN
    + b", consolekit.resume."
    + b"b" * 43,
    _GOOD + b"sec-websocket-protocol: binary\n?token: " + _TOKEN + b"\n?resume: " + b"c" * 43,
    _GOOD + b"sec-websocket-key: \xe9\n",
]

WORDS = [*_GOOD.splitlines(), b"sec-websocket-protocol: ", b"binary", b"consolekit.token.", b"?token: "]


def one_input(data: bytes) -> None:
    """Lines of ``name: value``, latin-1 and stripped, as Tornado gives them; ``?name``: of the query."""
    headers: dict[str, list[str]] = {}
    for line in data.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    tokens, keys = headers.pop("?token", []), headers.pop("?resume", [])
    try:
        upgrade = parse_upgrade("HTTP/1.1", headers, tokens, keys)
    except (UpgradeRequired, BadUpgrade, TokenRefused) as exc:
        assert exc.status
        return
    head = upgrade.response()
    assert head.count(b"\r\n") == head.count(b"\n") == (6 if upgrade.subprotocol else 5)
    assert len(upgrade.resume_hash) in (0, 64)
    assert len(upgrade.token.reveal()) < 24 or upgrade.token.reveal() not in repr(upgrade)
