"""The tracker: what passes, what is payload, where frames end; byte by byte and whole."""

from __future__ import annotations

import pytest
import wire

from consolekit.proxy.frames import Close, FrameError
from consolekit.proxy.tracker import ANY_SIZE, Tracker

STEPS = [1, 2, 3, 7, 1 << 30]


def follow(data: bytes, step: int = 1 << 30, *, mask: bool, most: int = ANY_SIZE) -> tuple[bytes, Tracker]:
    tracker, passed = Tracker(most, masked=mask), b""
    for start in range(0, len(data), step):
        passed += bytes(tracker.feed(memoryview(data[start : start + step])))
    return passed, tracker


def frame(payload: bytes = b"", opcode: int = wire.BINARY, *, fin: bool = True, mask: bool) -> bytes:
    return wire.frame(payload, opcode, fin=fin, mask=wire.MASK if mask else b"")


GOOD = {
    "short": ([(b"abc", wire.BINARY, True)], 3),
    "empty": ([(b"", wire.BINARY, True), (b"x", wire.BINARY, True)], 1),
    "125": ([(b"a" * 125, wire.BINARY, True)], 125),
    "126": ([(b"ab" * 63, wire.BINARY, True)], 126),
    "65535": ([(b"abcde" * 13107, wire.BINARY, True)], 65535),
    "65536": ([(b"abcd" * 16384, wire.BINARY, True)], 65536),
    "many": ([(b"event", wire.BINARY, True)] * 50, 250),
    "fragments": ([(b"ab", wire.BINARY, False), (b"", 0, False), (b"cd", 0, True)], 4),
    "pings between fragments": (
        [(b"ab", wire.BINARY, False), (b"are you there", wire.PING, True), (b"cd", 0, True)],
        4,
    ),
    "an empty ping, and a pong nobody asked for": (
        [(b"", wire.PING, True), (b"yes", wire.PONG, True), (b"a", wire.BINARY, True)],
        1,
    ),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("mask", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("name", GOOD)
def test_good_frames_pass_as_they_are(name, mask, step):
    parts, payload = GOOD[name]
    data = b"".join(frame(body, opcode, fin=fin, mask=mask) for body, opcode, fin in parts)
    if len(data) > 60_000 and step < 7:
        step = 1013 + step
    passed, tracker = follow(data, step, mask=mask)
    assert passed == data
    assert tracker.outcome is None
    assert tracker.payload == payload
    assert tracker.between


@pytest.mark.parametrize("mask", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("size", [3, 126, 300, 65536])
def test_where_a_frame_ends_is_known_after_every_byte(size, mask):
    """Our own control frames fit where ``between`` says so: nowhere inside of what was passed on."""
    one = frame(b"x" * size, mask=mask)
    head = len(one) - size
    tracker, passed = Tracker(masked=mask), 0
    for at in range(min(len(one), 600)):
        passed += len(tracker.feed(memoryview(one[at : at + 1])))
        came = at + 1
        assert passed == (0 if came < head else came), "a header passes whole or not at all"
        assert tracker.between is (came < head or came == len(one))


BAD = {
    "reserved bit": (lambda mask: wire.header(2, 0, rsv=4, mask=mask), 1002),
    "reserved opcode": (lambda mask: wire.header(3, 0, mask=mask), 1002),
    "reserved control": (lambda mask: wire.header(11, 0, mask=mask), 1002),
    "16 bits for 125": (lambda mask: wire.header(2, 125, form=16, mask=mask), 1002),
    "64 bits for 5": (lambda mask: wire.header(2, 5, form=64, mask=mask), 1002),
    "64 bits for 65535": (lambda mask: wire.header(2, 65535, form=64, mask=mask), 1002),
    "top bit": (lambda mask: wire.header(2, 1 << 63, mask=mask), 1002),
    "long ping": (lambda mask: wire.header(wire.PING, 126, mask=mask), 1002),
    "ping in fragments": (lambda mask: wire.header(wire.PING, 1, fin=False, mask=mask), 1002),
    "orphan": (lambda mask: wire.header(0, 1, mask=mask), 1002),
    "message in message": (
        lambda mask: wire.header(2, 0, fin=False, mask=mask) + wire.header(2, 0, mask=mask),
        1002,
    ),
    "text": (lambda mask: wire.header(wire.TEXT, 3, mask=mask), 1003),
    "close of one byte": (lambda mask: wire.frame(b"x", wire.CLOSE, mask=mask), 1002),
    "close that may not be": (lambda mask: wire.frame(b"\x03\xed", wire.CLOSE, mask=mask), 1002),
    "close reason": (lambda mask: wire.frame(b"\x03\xe8\xff", wire.CLOSE, mask=mask), 1002),
    "the other role": (lambda mask: wire.frame(b"abc", mask=b"" if mask else wire.MASK), 1002),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("mask", [wire.MASK, b""], ids=["client", "server"])
@pytest.mark.parametrize("name", BAD)
def test_bad_frames_end_it_and_what_came_before_passes(name, mask, step):
    make, code = BAD[name]
    before = wire.frame(b"before", mask=mask)
    passed, tracker = follow(before + make(mask) + b"after" * 10, step, mask=bool(mask))
    assert passed.startswith(before)
    assert len(passed) <= len(before) + len(wire.header(2, 0, mask=mask))
    assert isinstance(tracker.outcome, FrameError)
    assert tracker.outcome.close_code == code
    assert tracker.payload == 6
    assert tracker.between


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("mask", [True, False], ids=["client", "server"])
@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b"", Close(1005)), (b"\x03\xe8", Close(1000)), (b"\x0f\xa0" + b"bye", Close(4000, "bye"))],
)
def test_a_close_frame_ends_it_and_is_not_passed_on(payload, expected, mask, step):
    data = frame(b"last", mask=mask)
    passed, tracker = follow(
        data + frame(payload, wire.CLOSE, mask=mask) + frame(b"late", mask=mask), step, mask=mask
    )
    assert passed == data
    assert tracker.outcome == expected
    assert tracker.between


def test_half_a_close_frame_is_no_place_inside_of_a_frame():
    _, tracker = follow(wire.close(1000, b"bye")[:9], mask=True)
    assert tracker.between
    assert tracker.outcome is None


@pytest.mark.parametrize("step", STEPS)
def test_a_message_of_too_many_bytes(step):
    passed, tracker = follow(wire.frame(b"x" * 201), step, mask=True, most=200)
    assert passed == b""
    assert tracker.outcome.close_code == 1009
    parts = wire.frame(b"x" * 150, fin=False) + wire.frame(b"x" * 51, 0)
    passed, tracker = follow(parts, step, mask=True, most=200)
    assert tracker.outcome.close_code == 1009
    assert tracker.payload == 150
    passed, tracker = follow(wire.frame(b"x" * 200) * 3, step, mask=True, most=200)
    assert tracker.outcome is None


def test_a_server_may_announce_what_it_likes_and_it_costs_nothing():
    tracker = Tracker(masked=False)
    head = wire.header(2, (1 << 63) - 1, mask=b"")
    assert bytes(tracker.feed(memoryview(head))) == head
    piece = memoryview(bytes(100_000))
    assert len(tracker.feed(piece)) == 100_000
    assert tracker.payload == 100_000
    assert not tracker.between
