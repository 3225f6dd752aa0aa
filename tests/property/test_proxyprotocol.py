"""The PROXY protocol's header under random bytes: one error, bounded, and the same however it was cut."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from proxyheaders import LOCAL, PROXY, SIGNATURE, v1, v2, v2_from

from consolekit.net.proxyprotocol import MOST_BYTES, ProxyHeader, ProxyProtocolError, parse_header

ADDRESSES = st.ip_addresses().map(str)
STARTS = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11"])
WORDS = st.sampled_from(
    [b" ", b"\r\n", b"\r", b"\n", b"::", b"1.2.3.4", b"::1", b"65535", b"TCP4", b"UNKNOWN"]
)


def outcome(data: bytes) -> ProxyHeader | str | None:
    try:
        return parse_header(data)
    except ProxyProtocolError as exc:
        return str(exc)


@given(STARTS, st.lists(st.one_of(WORDS, st.binary(max_size=40)), max_size=12))
def test_garbage_raises_nothing_but_its_one_error(start: bytes, pieces: list[bytes]) -> None:
    data = start + b"".join(pieces)
    found = outcome(data)
    if isinstance(found, ProxyHeader):
        assert 15 <= found.size <= min(len(data), MOST_BYTES)
        assert not found.source or ipaddress.ip_address(found.source)
    if found is None:
        assert len(data) < MOST_BYTES
    # what is decided stays decided, whatever follows
    if found is not None:
        assert outcome(data + b"\r\n") == found


@given(st.sampled_from([LOCAL, PROXY]), st.integers(0, 255), st.binary(max_size=300), st.integers(0, 0xFFFF))
def test_any_binary_header_is_taken_refused_or_waited_for(command, kind, block, length):
    found = outcome(v2(command, kind, block, length=length))
    if found is None:
        assert len(block) < length
    if isinstance(found, ProxyHeader):
        assert found.size == 16 + length


@given(ADDRESSES, st.binary(max_size=200), st.binary(max_size=50))
def test_an_address_comes_back_from_both_versions(address, extra, behind):
    plain = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
    expected = str(plain or address)
    assert outcome(v1(address) + behind) == ProxyHeader(len(v1(address)), expected)
    data = v2_from(address, extra)
    assert outcome(data + behind) == ProxyHeader(len(data), expected)


@given(ADDRESSES, st.data())
def test_every_beginning_waits(address, data):
    header = data.draw(st.sampled_from([v1(address), v2_from(address)]))
    assert outcome(header[: data.draw(st.integers(0, len(header) - 1))]) is None
