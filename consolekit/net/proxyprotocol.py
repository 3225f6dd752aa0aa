"""Net: the header of the PROXY protocol, versions 1 and 2. Pure: bytes in, an address out; knows no socket.

Source: HAProxy's proxy-protocol.txt, sections 2.1 and 2.2. Type-length-values are skipped, as section 2.2
allows, the checksum among them: TCP has one of its own. Families and transports other than TCP over IP are
taken for "unspecified", as that section says.
"""

from __future__ import annotations

import ipaddress
import re

import attrs

from consolekit.core.networks import canonical

MOST_BYTES = 4096
"""Bytes of a header that are waited for; one without type-length-values has at most 232."""

_V1 = b"PROXY "
_V1_MOST = 107  # with its line end
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16
_LOCAL, _PROXY = 0x20, 0x21  # version 2 in the upper four bits
_IPV4, _IPV6 = 0x11, 0x21  # family in the upper four bits, TCP in the lower
_ADDRESS_BYTES = {1: 12, 2: 36, 3: 216}  # by family, ports included
_STREAMS = 3  # unspecified, stream, datagram
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_UNSPECIFIED = ""


class ProxyProtocolError(ValueError):
    """What came is no header of the PROXY protocol, or one that cannot be meant. Nothing is quoted."""


@attrs.frozen
class ProxyHeader:
    """A whole header.

    Attributes:
        size: Its bytes; what follows them is the connection's own.
        source: Address of whoever has connected to the proxy; empty where the proxy speaks for itself, or
            does not say.
    """

    size: int
    source: str


def parse_header(data: bytes) -> ProxyHeader | None:
    """Read the header that a connection begins with.

    Args:
        data: What has come so far; bytes behind the header may be there.

    Returns:
        The header, or None while more bytes are needed. Then every byte so far belongs to it.

    Raises:
        ProxyProtocolError: this is no such header.
    """
    if data[: len(_V2)] == _V2[: len(data)]:
        return _version_2(data)
    if data[: len(_V1)] == _V1[: len(data)]:
        return _version_1(data)
    raise ProxyProtocolError("the connection does not begin with a PROXY protocol header")


def _version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, _V1_MOST)
    if end < 0:
        if len(data) >= _V1_MOST:
            raise ProxyProtocolError("version 1: the line has no end")
        return None
    line = data[:end]
    if not line.endswith(b"\r") or b"\r" in line[:-1]:
        raise ProxyProtocolError("version 1: the line must end with CR and LF")
    family, *rest = line[len(_V1) : -1].split(b" ")
    if family == b"UNKNOWN":
        return ProxyHeader(end + 1, _UNSPECIFIED)
    if family not in (b"TCP4", b"TCP6") or len(rest) != 4:
        raise ProxyProtocolError("version 1: the line is not family, two addresses and two ports")
    source, target, *ports = rest
    if not all(_PORT.fullmatch(port) and int(port) <= 0xFFFF for port in ports):
        raise ProxyProtocolError("version 1: a port is none")
    _address(family, target)
    return ProxyHeader(end + 1, _address(family, source))


def _address(family: bytes, text: bytes) -> str:
    kind = ipaddress.IPv4Address if family == b"TCP4" else ipaddress.IPv6Address
    try:
        return canonical(str(kind(_without_zone(text))))
    except ValueError:  # UnicodeDecodeError is one
        raise ProxyProtocolError("version 1: an address is none of its family") from None


def _without_zone(text: bytes) -> str:
    if b"%" in text:
        raise ValueError
    return text.decode("ascii")


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED:
        return None
    command, kind, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError("version 2: the version or the command is unknown")
    size = _V2_FIXED + length
    if size > MOST_BYTES:
        raise ProxyProtocolError(f"version 2: the header is over {MOST_BYTES} bytes long")
    if command == _PROXY:
        _check_kind(kind, length)
    if len(data) < size:
        return None
    if command == _PROXY and kind == _IPV4:
        return ProxyHeader(size, str(ipaddress.IPv4Address(data[16:20])))
    if command == _PROXY and kind == _IPV6:
        return ProxyHeader(size, canonical(str(ipaddress.IPv6Address(data[16:32]))))
    return ProxyHeader(size, _UNSPECIFIED)


def _check_kind(kind: int, length: int) -> None:
    family, stream = kind >> 4, kind & 0x0F
    if family not in (0, *_ADDRESS_BYTES) or stream >= _STREAMS:
        raise ProxyProtocolError("version 2: the family or the transport is unknown")
    if stream and length < _ADDRESS_BYTES.get(family, 0):
        raise ProxyProtocolError("version 2: the header is shorter than its addresses")
