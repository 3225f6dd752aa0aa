"""Providers, vSphere: how one vCenter or ESXi host is reached, and how a configuration writes it.

Knows addresses, files' places and JSON Schema as data; connects to nothing and reads nothing.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from consolekit.core.errors import ConfigError, Problem
from consolekit.core.types import Secret, TlsPolicy

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+")


class FindBy(enum.Enum):
    """What a server id is, for vSphere."""

    INSTANCE_UUID = "instance_uuid"
    BIOS_UUID = "bios_uuid"
    MOID = "moid"


@attrs.frozen(kw_only=True)
class VSphereSettings:
    """One vCenter or ESXi host.

    Attributes:
        host: Its name or address; the certificate is checked against it.
        port: Its HTTPS port.
        username: The account that asks for consoles.
        password: Its password.
        password_file: Read the password from this file at every login.
        tls: Certificate policy: CA and name, or a SHA-256 pin.
        find_by: What the callers' server ids are.
        call_seconds: Deadline of one operation, waiting and a new login included.
        workers: How many calls run at a time.
        keep_alive_seconds: How often an idle session says that it is still there.

    Raises:
        ValueError: a value cannot be meant, or two contradict each other.
    """

    host: str
    port: int = 443
    username: str
    password: Secret | None = None
    password_file: Path | None = None
    tls: TlsPolicy = attrs.field(factory=TlsPolicy)
    find_by: FindBy = FindBy.INSTANCE_UUID
    call_seconds: float = 15.0
    workers: int = 4
    keep_alive_seconds: float = 240.0

    def __attrs_post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError("its host is no name and no address")
        if (self.password is None) == (self.password_file is None):
            raise ValueError("needs one of password and password_file")
        if self.tls.pin_sha1 is not None:
            raise ValueError("is pinned by SHA-256 only; SHA-1 is not strong enough for a password")


def _file(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "format": "path", "description": description}


_TLS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "Which certificate is the right one. It is checked before the password is sent.",
    "properties": {
        "ca_file": _file("PEM file of the CAs to trust. Default: the system's."),
        "server_name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "description": "Name the certificate must carry. Default: host.",
        },
        "pin_sha256": {
            "type": "string",
            "pattern": "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$",
            "description": "SHA-256 of the certificate in hex: trust this one, whoever signed it.",
        },
    },
    "additionalProperties": False,
}

VSPHERE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "The vCenter or ESXi host whose machines these are.",
    "properties": {
        "host": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "description": "Its name or address; its certificate must carry it.",
        },
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 443,
            "description": "Its HTTPS port.",
        },
        "username": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": "The account that asks for consoles.",
        },
        "password": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "writeOnly": True,
            "description": "Its password.",
        },
        "password_file": _file("File with the password instead; read again at every login."),
        "tls": _TLS_SCHEMA,
        "find_by": {
            "enum": [kind.value for kind in FindBy],
            "default": FindBy.INSTANCE_UUID.value,
            "description": "What the callers' server ids are.",
        },
        "call_seconds": {
            "type": "number",
            "minimum": 1,
            "maximum": 120,
            "default": 15,
            "description": "Deadline of one operation, waiting and a new login included.",
        },
        "workers": {
            "type": "integer",
            "minimum": 1,
            "maximum": 32,
            "default": 4,
            "description": "How many calls run at a time, a thread each.",
        },
        "keep_alive_seconds": {
            "type": "number",
            "minimum": 10,
            "maximum": 1500,
            "default": 240,
            "description": "How often a session that is in use tells that it is still there.",
        },
    },
    "required": ["host", "username"],
    "additionalProperties": False,
}
"""JSON Schema (2020-12) of the table that describes one vCenter or ESXi host."""


def settings_from_config(table: Mapping[str, Any], where: str) -> VSphereSettings:
    """Build from a table that ``VSPHERE_SCHEMA`` has accepted.

    Args:
        table: The table as plain data; relative paths in it are already absolute.
        where: Its key in the provider's table, for problems.

    Raises:
        ConfigError: its values contradict each other.
    """
    try:
        return VSphereSettings(
            host=table["host"].strip("[]"),
            port=table.get("port", 443),
            username=table["username"],
            password=Secret(table["password"]) if "password" in table else None,
            password_file=_path(table.get("password_file")),
            tls=_tls_policy(table.get("tls", {})),
            find_by=FindBy(table.get("find_by", FindBy.INSTANCE_UUID.value)),
            call_seconds=table.get("call_seconds", 15.0),
            workers=table.get("workers", 4),
            keep_alive_seconds=table.get("keep_alive_seconds", 240.0),
        )
    except ValueError as exc:
        raise ConfigError([Problem(where, str(exc))]) from None


def _tls_policy(table: Mapping[str, Any]) -> TlsPolicy:
    pin = table.get("pin_sha256")
    return TlsPolicy(
        ca_file=_path(table.get("ca_file")),
        server_name=table.get("server_name"),
        pin_sha256=None if pin is None else pin.replace(":", "").lower(),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
