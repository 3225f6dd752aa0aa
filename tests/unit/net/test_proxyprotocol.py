"""net.proxyprotocol: every form of both versions, whole, cut anywhere, and with bytes behind."""

from __future__ import annotations

import pytest
from proxyheaders import (
    LOCAL,
    PROXY,
    SIGNATURE,
    TCP4,
    TCP6,
    UDP4,
    UDP6,
    UNIX,
    UNIX_DATAGRAM,
    UNSPECIFIED,
    tlv,
    v1,
    v2,
    v2_from,
)

from consolekit.net.proxyprotocol import MOST_BYTES, ProxyHeader, ProxyProtocolError, parse_header

LONGEST_V6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

GOOD = {
    "v1 IPv4": (v1("192.0.2.1"), "192.0.2.1"),
    "v1 IPv4, longest": (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    "v1 IPv4, ports 0": (b"PROXY TCP4 192.0.2.1 192.0.2.2 0 0\r\n", "192.0.2.1"),
    "v1 IPv6": (v1("2001:DB8::1", "2001:db8::2"), "2001:db8::1"),
    "v1 IPv6, longest": (f"PROXY TCP6 {LONGEST_V6} {LONGEST_V6} 65535 65535\r\n".encode(), LONGEST_V6),
    "v1 IPv4 in IPv6's clothes": (v1("::ffff:192.0.2.1"), "192.0.2.1"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", ""),
    "v1 unknown, longest": (f"PROXY UNKNOWN {LONGEST_V6} {LONGEST_V6} 65535 65535\r\n".encode(), ""),
    "v1 unknown, anything": (b"PROXY UNKNOWN \xff\0 what ever\r\n", ""),
    "v2 IPv4": (v2_from("192.0.2.1"), "192.0.2.1"),
    "v2 IPv6": (v2_from("2001:db8::1"), "2001:db8::1"),
    "v2 IPv4 in IPv6's clothes": (v2_from("::ffff:192.0.2.1"), "192.0.2.1"),
    "v2 with values": (v2_from("192.0.2.1", tlv(2, b"consoles.example.org") + tlv(3, bytes(4))), "192.0.2.1"),
    "v2 with values that are none": (v2_from("192.0.2.1", b"\xff" * 9), "192.0.2.1"),
    "v2 as long as may be": (v2_from("192.0.2.1", bytes(MOST_BYTES - 28)), "192.0.2.1"),
    "v2 local": (v2(LOCAL, UNSPECIFIED, b""), ""),
    "v2 local with an address": (v2(LOCAL, TCP4, bytes(12)), ""),
    "v2 local of no family": (v2(LOCAL, 0xFF, b"abc"), ""),
    "v2 unspecified": (v2(PROXY, UNSPECIFIED, b""), ""),
    "v2 unspecified with values": (v2(PROXY, UNSPECIFIED, tlv(4, b"")), ""),
    "v2 IPv4 of no transport": (v2(PROXY, 0x10, bytes(4)), ""),
    "v2 UDP over IPv4": (v2(PROXY, UDP4, bytes(12)), ""),
    "v2 UDP over IPv6": (v2(PROXY, UDP6, bytes(36)), ""),
    "v2 unix": (v2(PROXY, UNIX, b"/run/x".ljust(108, b"\0") * 2), ""),
    "v2 unix datagram": (v2(PROXY, UNIX_DATAGRAM, bytes(216)), ""),
}

BAD = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01",
    "one byte": b"Q",
    "lower case": b"proxy TCP4",
    "no space": b"PROXYTCP4",
    "v1 without an end": b"PROXY UNKNOWN" + b" " * 94,
    "v1 with LF alone": b"PROXY UNKNOWN\n",
    "v1 with CR in the middle": b"PROXY UNKNOWN \r \r\n",
    "v1 of no family": b"PROXY \r\n",
    "v1 of another family": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "v1 without ports": b"PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
    "v1 with one more": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
    "v1 with two spaces": b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "v1 with a space at its end": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "v1 with a tab": b"PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n",
    "v1 with zeros in front": b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
    "v1 with a port with zeros": b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
    "v1 with too high a port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    "v1 with a signed port": b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
    "v1 IPv6 as IPv4": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "v1 IPv4 as IPv6": b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "v1 with a bad target": b"PROXY TCP4 192.0.2.1 nonsense 1 2\r\n",
    "v1 with a zone": b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
    "v1 with bytes beyond ASCII": b"PROXY TCP4 192.0.2.\xb2 192.0.2.2 1 2\r\n",
    "v2 with another last byte": SIGNATURE[:-1] + b"X",
    "v2 of version 1": SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
    "v2 of version 3": SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
    "v2 of another command": v2(0x22, TCP4, bytes(12)),
    "v2 of another family": v2(PROXY, 0x41, bytes(12)),
    "v2 of another transport": v2(PROXY, 0x13, bytes(12)),
    "v2 IPv4 too short": v2(PROXY, TCP4, bytes(11)),
    "v2 IPv6 too short": v2(PROXY, TCP6, bytes(35)),
    "v2 unix too short": v2(PROXY, UNIX, bytes(215)),
    "v2 too long": v2(PROXY, TCP4, b"", length=MOST_BYTES - 15),
    "v2 local too long": v2(LOCAL, UNSPECIFIED, b"", length=0xFFFF),
}


@pytest.mark.parametrize(("data", "source"), GOOD.values(), ids=GOOD)
def test_a_header_whole_cut_anywhere_and_with_bytes_behind(data: bytes, source: str) -> None:
    found = ProxyHeader(len(data), source)
    assert parse_header(data) == found
    assert parse_header(data + data) == found
    assert parse_header(data + b"\x16\x03\x01" + bytes(200)) == found
    assert all(parse_header(data[:cut]) is None for cut in range(len(data)))


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_header_is_refused_and_not_quoted(data: bytes) -> None:
    with pytest.raises(ProxyProtocolError) as caught:
        parse_header(data)
    assert not any(word in str(caught.value) for word in ("192", "nonsense", "eth0"))
    with pytest.raises(ProxyProtocolError):
        parse_header(data + bytes(MOST_BYTES))


def test_the_longest_line_is_the_one_of_the_specification() -> None:
    assert len(GOOD["v1 unknown, longest"][0]) == 107
    assert parse_header(b"PROXY UNKNOWN" + b" " * 93) is None
