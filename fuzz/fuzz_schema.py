"""Fuzz target: any JSON as the wish for a console. It is one of a registered pair, or one of three errors."""

from __future__ import annotations

import json

from consolesite import SERIAL, VNC, Rack, Wires, registry_of

from consolekit.core.errors import ConsoleNotImplemented, InvalidRequest, UnsupportedConsole
from consolekit.core.schema import ConsoleSchema, validator_of

_SCHEMA = ConsoleSchema(registry_of(rack=Rack(), wires=Wires()))
_DOCUMENT = validator_of(_SCHEMA.document())

SEEDS = [
    b'{"protocol":"vnc","type":"novnc"}',
    b'{"protocol":"vnc","type":"webmks","subject":"ann"}',
    b'{"protocol":"vnc","type":"xvpvnc"}',
    b'{"protocol":"serial","type":"serial","params":{"port":3,"label":"a"},"ttl_seconds":60,"mode":"view"}',
    b'{"protocol":"vnc","type":"novnc","ttl_seconds":1e999,"subject":"\\ud800"}',
    b"[[[[{}]]]]",
]

WORDS = [f'"{name}"'.encode() for name in (*_DOCUMENT.schema["properties"], "vnc", "serial", "port", "label")]


def one_input(data: bytes) -> None:
    """The body of a call; its beginning is also tried as the server's id."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        plain = data.decode("utf-8", "surrogateescape")
    server_id = plain if isinstance(plain, str) else data[:40].decode("latin-1")
    try:
        _SCHEMA.check_server_id(server_id)
    except InvalidRequest as exc:
        exc.public_detail.encode()
    try:
        request = _SCHEMA.validate("web-1", plain, subject="ann")
    except (InvalidRequest, UnsupportedConsole, ConsoleNotImplemented) as exc:
        exc.public_detail.encode()
        assert not _DOCUMENT.is_valid(plain)
        return
    assert _DOCUMENT.is_valid(plain)
    assert request.key in (VNC, SERIAL)
    assert (request.key.protocol, request.key.type) == (plain["protocol"], plain["type"])
