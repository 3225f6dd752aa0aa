"""The codec under random chunking: what comes out depends on the bytes, never on how they were cut."""

from __future__ import annotations

import wire
from hypothesis import given
from hypothesis import strategies as st

from consolekit.proxy.frames import Close, Decoder, FrameError
from consolekit.proxy.tracker import Tracker

MASKS = st.binary(min_size=4, max_size=4)
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 65535, 65536, 70000]))


@st.composite
def messages(draw) -> tuple[bytes, bytes, bytes | None]:
    """Bytes of a message, perhaps in fragments, perhaps with pings between; payload; last ping."""
    size = draw(SIZES)
    payload = (draw(st.binary(min_size=1, max_size=16)) * size)[:size]
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    data, last = b"", None
    for number, part in enumerate(parts):
        opcode = 0 if number else wire.BINARY
        data += wire.frame(part, opcode, fin=number == len(parts) - 1, mask=draw(MASKS))
        if draw(st.booleans()):
            last = draw(st.binary(max_size=125))
            data += wire.frame(last, wire.PING, mask=draw(MASKS))
    return data, payload, last


def feed_in_chunks(data: bytes, sizes: list[int]) -> tuple[bytes, Decoder]:
    decoder, payload, at, turn = Decoder(), b"", 0, 0
    while at < len(data):
        step = max(sizes[turn % len(sizes)], len(data) // 1000)
        piece = bytearray(data[at : at + step])
        payload += bytes(piece[: decoder.feed(memoryview(piece), len(piece))])
        at, turn = at + step, turn + 1
    return payload, decoder


CHUNKS = st.lists(st.one_of(st.integers(1, 20), st.integers(1, 100_000)), min_size=1, max_size=8)


@given(st.lists(messages(), max_size=4), CHUNKS)
def test_messages_come_through(parts, sizes):
    payload, decoder = feed_in_chunks(b"".join(data for data, _, _ in parts), sizes)
    assert payload == b"".join(expected for _, expected, _ in parts)
    assert decoder.outcome is None
    pings = [last for _, _, last in parts if last is not None]
    assert decoder.pong == (pings[-1] if pings else None)


BEGINNINGS = st.one_of(
    st.binary(max_size=200),
    st.lists(messages(), max_size=2).map(lambda all_: b"".join(d for d, _, _ in all_)),
)


@given(BEGINNINGS, st.binary(max_size=40), CHUNKS)
def test_garbage_ends_the_same_way_however_it_is_cut(start, garbage, sizes):
    data = start + garbage
    whole, one = feed_in_chunks(data, [len(data) or 1])
    cut, other = feed_in_chunks(data, sizes)
    assert whole == cut
    assert one.pong == other.pong
    assert type(one.outcome) is type(other.outcome)
    if isinstance(one.outcome, FrameError):
        assert (one.outcome.close_code, one.outcome.why) == (other.outcome.close_code, other.outcome.why)
    else:
        assert one.outcome == other.outcome


def follow_in_chunks(data: bytes, sizes: list[int], *, masked: bool) -> tuple[bytes, Tracker]:
    tracker, passed, at, turn = Tracker(masked=masked), b"", 0, 0
    while at < len(data):
        step = max(sizes[turn % len(sizes)], len(data) // 1000)
        passed += bytes(tracker.feed(memoryview(data[at : at + step])))
        at, turn = at + step, turn + 1
    return passed, tracker


@given(st.lists(messages(), max_size=4), CHUNKS)
def test_a_tracker_passes_a_clients_messages_as_they_are(parts, sizes):
    data = b"".join(data for data, _, _ in parts)
    passed, tracker = follow_in_chunks(data + wire.close(1000), sizes, masked=True)
    assert passed == data
    assert tracker.payload == sum(len(payload) for _, payload, _ in parts)
    assert tracker.outcome == Close(1000)


@given(st.lists(st.binary(max_size=16).map(lambda part: part * 9000), max_size=4), CHUNKS)
def test_a_tracker_passes_a_servers_messages_as_they_are(payloads, sizes):
    data = b"".join(wire.frame(payload, mask=b"") for payload in payloads)
    passed, tracker = follow_in_chunks(data, sizes, masked=False)
    assert passed == data
    assert tracker.between
    assert tracker.outcome is None


@given(BEGINNINGS, st.binary(max_size=40), CHUNKS)
def test_a_tracker_and_the_decoder_judge_alike(start, garbage, sizes):
    data = start + garbage
    _, decoder = feed_in_chunks(data, [len(data) or 1])
    whole, one = follow_in_chunks(data, [len(data) or 1], masked=True)
    cut, other = follow_in_chunks(data, sizes, masked=True)
    assert (whole, one.payload, one.between) == (cut, other.payload, other.between)
    assert data.startswith(whole)
    for tracker in (one, other):
        assert type(tracker.outcome) is type(decoder.outcome)
        assert str(tracker.outcome) == str(decoder.outcome)
