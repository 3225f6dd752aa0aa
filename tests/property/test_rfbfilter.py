"""The RFB filter under any chunking: the identity with INTERACT, and no input in what VIEW lets through."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from consolekit.core.errors import ViewerRefused
from consolekit.core.types import Mode
from consolekit.providers.rfbfilter import Begins, RfbFilter

U8, U16 = st.integers(0, 255), st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)


def bytes_of(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def counted(head: str, kind: int, least: int = 0) -> st.SearchStrategy[bytes]:
    """A message whose last field of the head counts bytes that follow."""
    return st.binary(min_size=least, max_size=64).map(lambda body: struct.pack(head, kind, len(body)) + body)


HARMLESS = st.one_of(
    bytes_of(19).map(lambda rest: b"\0" + rest),
    st.lists(U32, max_size=20).map(lambda some: struct.pack(f">BxH{len(some)}I", 2, len(some), *some)),
    bytes_of(9).map(lambda rest: b"\3" + rest),
    bytes_of(9).map(lambda rest: b"\x96" + rest),
    counted(">B7xB", 248),
)
INPUT = st.one_of(
    bytes_of(7).map(lambda rest: b"\4" + rest),
    st.tuples(st.integers(0, 127), U16, U16).map(lambda it: struct.pack(">BBHH", 5, *it)),
    st.tuples(st.integers(128, 255), U16, U16, U8).map(lambda it: struct.pack(">BBHHB", 5, *it)),
    counted(">B3xI", 6),
    st.binary(min_size=1, max_size=64).map(lambda body: struct.pack(">B3xi", 6, -len(body)) + body),
    bytes_of(10).map(lambda rest: b"\xff\0" + rest),
    bytes_of(3).map(lambda rest: b"\xfa" + rest),
    st.lists(bytes_of(16), max_size=3).map(
        lambda some: struct.pack(">B5xBx", 251, len(some)) + b"".join(some)
    ),
)
TALK = st.lists(st.one_of(HARMLESS, INPUT), max_size=12)


def feed(data: bytes, cuts: list[int], mode: Mode, begins: Begins) -> bytes:
    """What went on until the end, or until the viewer was refused."""
    strainer, passed, at = RfbFilter(mode, begins=begins), b"", 0
    try:
        for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
            if cut > at:
                passed += strainer.feed(data[at:cut])
                at = cut
    except ViewerRefused:
        pass
    return passed


def types_in(stream: bytes) -> list[int]:
    """Types of the messages in a whole stream: another parser, by the book (RFC 6143, 7.5; rfbproto)."""
    found = []
    while stream:
        kind = stream[0]
        if kind == 0:
            size = 20
        elif kind == 2:
            size = 4 + 4 * int.from_bytes(stream[2:4], "big") if len(stream) >= 4 else 4
        elif kind in (3, 150):
            size = 10
        elif kind == 248:
            size = 9 + stream[8] if len(stream) >= 9 else 9
        else:
            raise AssertionError(f"type {kind} went on")
        found.append(kind)
        stream = stream[size:]
    return found


CUTS = st.lists(st.integers(0, 4096), max_size=24)


@given(talk=TALK, cuts=CUTS)
def test_who_looks_gets_every_harmless_message_through_and_nothing_else(
    talk: list[bytes], cuts: list[int]
) -> None:
    expected = b"".join(message for message in talk if message[0] in (0, 2, 3, 150, 248))
    assert feed(b"".join(talk), cuts, Mode.VIEW, Begins.MESSAGES) == expected


@given(data=st.one_of(st.binary(max_size=400), TALK.map(b"".join)), cuts=CUTS, begins=st.sampled_from(Begins))
def test_interact_is_the_identity(data: bytes, cuts: list[int], begins: Begins) -> None:
    assert feed(data, cuts, Mode.INTERACT, begins) == data


@given(talk=TALK, noise=st.binary(max_size=200), cuts=CUTS)
def test_whatever_is_sent_no_input_goes_on(talk: list[bytes], noise: bytes, cuts: list[int]) -> None:
    types_in(feed(b"".join(talk) + noise, cuts, Mode.VIEW, Begins.MESSAGES))


@given(shared=U8, talk=TALK, noise=st.binary(max_size=200), cuts=CUTS)
def test_nor_from_the_beginning_of_rfb(shared: int, talk: list[bytes], noise: bytes, cuts: list[int]) -> None:
    said = b"RFB 003.008\n\1" + bytes([shared]) + b"".join(talk) + noise
    passed = feed(said, cuts, Mode.VIEW, Begins.VERSION)
    start = b"RFB 003.008\n\1\1"
    assert start.startswith(passed[: len(start)])
    types_in(passed[len(start) :])


@given(talk=TALK, cuts=CUTS)
def test_the_same_input_is_counted_however_it_comes(talk: list[bytes], cuts: list[int]) -> None:
    counts = set()
    for some in ([], cuts):
        for mode in Mode:
            strainer, data, at = RfbFilter(mode, begins=Begins.MESSAGES), b"".join(talk), 0
            for cut in [*sorted(cut % (len(data) + 1) for cut in some), len(data)]:
                if cut > at:
                    strainer.feed(data[at:cut])
                    at = cut
            counts.add(strainer.inputs)
    assert len(counts) == 1
