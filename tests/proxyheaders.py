"""Test support: headers of the PROXY protocol, as proxies send them. Importable as ``proxyheaders``."""

from __future__ import annotations

import ipaddress

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, UDP4, TCP6, UDP6, UNIX, UNIX_DATAGRAM, UNSPECIFIED = 0x11, 0x12, 0x21, 0x22, 0x31, 0x32, 0x00


def v1(source: str, target: str = "") -> bytes:
    """A line for a connection from ``source``."""
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {target or source} 51234 443\r\n".encode()


def v2(command: int, kind: int, block: bytes, *, length: int | None = None) -> bytes:
    """A binary header around this block."""
    size = len(block) if length is None else length
    return SIGNATURE + bytes([command, kind]) + size.to_bytes(2, "big") + block


def v2_from(source: str, extra: bytes = b"") -> bytes:
    """A binary header for a connection from ``source``, with type-length-values behind the addresses."""
    packed = ipaddress.ip_address(source).packed
    kind = TCP4 if len(packed) == 4 else TCP6
    return v2(PROXY, kind, packed * 2 + (51234).to_bytes(2, "big") + (443).to_bytes(2, "big") + extra)


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value
