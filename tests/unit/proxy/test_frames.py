"""The codec against RFC 6455: every table whole, byte by byte, and with bytes that follow."""

from __future__ import annotations

import sys

import pytest
import wire

from consolekit.proxy import frames
from consolekit.proxy.frames import Close, Decoder, FrameError

SPLITS = [1, 2, 3, 7, 1 << 30]


def decode(data: bytes, step: int = 1 << 30, max_message: int = frames.MAX_MESSAGE) -> tuple[bytes, Decoder]:
    decoder, payload = Decoder(max_message), b""
    for start in range(0, len(data), step):
        piece = bytearray(data[start : start + step])
        size = decoder.feed(memoryview(piece), len(piece))
        payload += bytes(piece[:size])
    return payload, decoder


GOOD = {
    "short": (wire.frame(b"abc"), b"abc"),
    "empty": (wire.frame(b""), b""),
    "empty then short": (wire.frame(b"") + wire.frame(b"x"), b"x"),
    "125": (wire.frame(b"a" * 125), b"a" * 125),
    "126": (wire.frame(b"ab" * 63), b"ab" * 63),
    "65535": (wire.frame(b"abcde" * 13107), b"abcde" * 13107),
    "65536": (wire.frame(b"abcd" * 16384), b"abcd" * 16384),
    "fragments": (
        wire.frame(b"ab", fin=False) + wire.frame(b"c", 0, fin=False) + wire.frame(b"de", 0),
        b"abcde",
    ),
    "empty fragments": (wire.frame(b"", fin=False) + wire.frame(b"", 0), b""),
    "two fragmented messages": (
        (wire.frame(b"a", fin=False) + wire.frame(b"b", 0)) * 2,
        b"abab",
    ),
    "a ping between fragments": (
        wire.frame(b"ab", fin=False) + wire.frame(b"hi", wire.PING) + wire.frame(b"cd", 0),
        b"abcd",
    ),
    "a pong that nobody asked for": (wire.frame(b"hi", wire.PONG) + wire.frame(b"x"), b"x"),
    "a zero mask": (wire.frame(b"plain", mask=bytes(4)), b"plain"),
    "other masks": (wire.frame(b"one", mask=b"abcd") + wire.frame(b"two", mask=b"\xff\0\xff\0"), b"onetwo"),
}


@pytest.mark.parametrize("step", SPLITS)
@pytest.mark.parametrize("name", GOOD)
def test_payload_comes_out(name, step):
    if step == 1 and len(GOOD[name][0]) > 60_000:
        step = 11
    data, expected = GOOD[name]
    payload, decoder = decode(data, step)
    assert payload == expected
    assert decoder.outcome is None


@pytest.mark.parametrize("opcode", [wire.BINARY, wire.PING, wire.PONG, wire.CLOSE])
def test_every_mask_offset(opcode):
    """A payload cut at any place is unmasked from the right byte of the mask on."""
    body = b"\x03\xe8" + bytes(range(65, 85))
    data = wire.frame(body, opcode, mask=b"\x01\x02\x04\x08")
    for cut in range(len(data)):
        decoder, payload = Decoder(), b""
        for part in (data[:cut], data[cut:]):
            piece = bytearray(part)
            payload += bytes(piece[: decoder.feed(memoryview(piece), len(piece))])
        assert payload == (body if opcode == wire.BINARY else b"")
        assert decoder.pong == (body if opcode == wire.PING else None)
        assert decoder.outcome == (Close(1000, body[2:].decode()) if opcode == wire.CLOSE else None)


_BIG = frames.MAX_MESSAGE
BAD = {
    "unmasked": (wire.frame(b"abc", mask=b""), 1002),
    "unmasked and empty": (wire.frame(b"", mask=b""), 1002),
    "RSV1": (wire.header(2, 0, rsv=4), 1002),
    "RSV2": (wire.header(2, 0, rsv=2), 1002),
    "RSV3": (wire.header(2, 0, rsv=1), 1002),
    **{f"opcode {n:#x}": (wire.header(n, 0), 1002) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "0 in 16 bits": (wire.header(2, 0, form=16), 1002),
    "125 in 16 bits": (wire.header(2, 125, form=16), 1002),
    "125 in 64 bits": (wire.header(2, 125, form=64), 1002),
    "65535 in 64 bits": (wire.header(2, 65535, form=64), 1002),
    "a fragment of 125 in 16 bits": (wire.header(2, 125, form=16, fin=False), 1002),
    "the top bit": (wire.header(2, 1 << 63), 1002),
    "all bits": (wire.header(2, (1 << 64) - 1), 1002),
    "a ping of 126": (wire.header(wire.PING, 126), 1002),
    "a pong of 65536": (wire.header(wire.PONG, 65536), 1002),
    "a close of 126": (wire.header(wire.CLOSE, 126), 1002),
    "half a ping": (wire.header(wire.PING, 0, fin=False), 1002),
    "half a close": (wire.header(wire.CLOSE, 0, fin=False), 1002),
    "an orphan": (wire.frame(b"a", 0), 1002),
    "an unfinished orphan": (wire.frame(b"a", 0, fin=False), 1002),
    "an orphan behind a message": (wire.frame(b"a", fin=False) + wire.frame(b"b", 0) * 2, 1002),
    "a message in a message": (wire.frame(b"a", fin=False) + wire.frame(b"b"), 1002),
    "a text in a message": (wire.frame(b"a", fin=False) + wire.frame(b"b", 1), 1002),
    "text": (wire.frame(b"abc", wire.TEXT), 1003),
    "text that is no UTF-8": (wire.frame(b"\xff\xfe", wire.TEXT), 1003),
    "a fragment of text": (wire.frame(b"abc", wire.TEXT, fin=False), 1003),
    "2^63 - 1": (wire.header(2, (1 << 63) - 1), 1009),
    "max + 1": (wire.header(2, _BIG + 1), 1009),
    "max + 1 before its mask": (wire.header(2, _BIG + 1)[:10], 1009),
    "a sum of max + 1": (wire.frame(b"ab", fin=False) + wire.header(0, _BIG - 1), 1009),
    "close with 1 byte": (wire.frame(b"\x03", wire.CLOSE), 1002),
    "a reason that is no UTF-8": (wire.close(1000, b"\xff"), 1002),
    "a reason cut inside a character": (wire.close(1000, "é".encode()[:1]), 1002),
    **{
        f"close {n}": (wire.close(n), 1002)
        for n in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize("step", SPLITS)
@pytest.mark.parametrize("after", [b"", wire.frame(b"more")], ids=["alone", "with more"])
@pytest.mark.parametrize("name", BAD)
def test_what_breaks_the_rfc_is_refused(name, after, step):
    data, code = BAD[name]
    _, decoder = decode(data + after, step)
    assert isinstance(decoder.outcome, FrameError), name
    assert decoder.outcome.close_code == code
    assert decoder.outcome.why


@pytest.mark.parametrize(
    ("start", "size"),
    [(wire.header(2, 0, mask=b""), 2), (wire.header(5, 3), 2), (wire.header(2, _BIG + 1), 10)],
    ids=["unmasked", "reserved", "too big"],
)
def test_refused_at_the_first_byte_that_shows_it(start, size):
    """A peer that stops there must not be waited for."""
    _, early = decode(start[: size - 1])
    _, late = decode(start[:size])
    assert early.outcome is None
    assert isinstance(late.outcome, FrameError)


def test_payload_before_a_bad_frame_counts():
    payload, decoder = decode(wire.frame(b"last words") + wire.frame(b"x", 3))
    assert payload == b"last words"
    assert isinstance(decoder.outcome, FrameError)


GOOD_CLOSES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]


@pytest.mark.parametrize("step", SPLITS)
@pytest.mark.parametrize("code", GOOD_CLOSES)
def test_close_is_read(code, step):
    assert decode(wire.close(code, "адью".encode()), step)[1].outcome == Close(code, "адью")
    assert decode(wire.close(code), step)[1].outcome == Close(code)


def test_close_without_a_code():
    assert decode(wire.close())[1].outcome == Close(frames.NO_STATUS)


@pytest.mark.parametrize("after", [b"\0" * 40, wire.frame(b"x"), wire.close(1001), wire.frame(b"", 5)])
def test_what_follows_a_close_is_ignored(after):
    payload, decoder = decode(wire.frame(b"a") + wire.close(1000) + after)
    assert payload == b"a"
    assert decoder.outcome == Close(1000)
    more = bytearray(wire.frame(b"and more"))
    assert decoder.feed(memoryview(more), len(more)) == 0
    assert decoder.outcome == Close(1000)


def test_of_many_pings_the_newest_is_owed():
    _, decoder = decode(b"".join(wire.frame(b"%d" % n, wire.PING) for n in range(1000)))
    assert decoder.pong == b"999"


def test_messages_of_exactly_the_most():
    limit = 300
    for data in (
        wire.frame(b"a" * limit),
        wire.frame(b"a" * 100, fin=False) + wire.frame(b"b" * 200, 0),
        wire.frame(b"a" * 300, fin=False) + wire.frame(b"", 0) + wire.frame(b"b" * 300),
    ):
        payload, decoder = decode(data, 7, max_message=limit)
        assert decoder.outcome is None
        assert len(payload) % 300 == 0
    for data in (
        wire.frame(b"a" * (limit + 1)),
        wire.frame(b"a" * limit, fin=False) + wire.frame(b"b", 0),
        wire.frame(b"a" * 65536),
    ):
        assert decode(data, max_message=limit)[1].outcome.close_code == 1009


def test_endless_fragments_come_to_an_end():
    decoder = Decoder(max_message=1000)
    start, piece = bytearray(wire.frame(b"x", fin=False)), wire.frame(b"x", 0, fin=False)
    decoder.feed(memoryview(start), len(start))
    for number in range(1, 1001):
        again = bytearray(piece)
        decoder.feed(memoryview(again), len(again))
        assert (decoder.outcome is None) is (number < 1000)


def test_an_announcement_costs_nothing():
    """Of 16 MiB announced, what is kept is not even the header."""
    decoder = Decoder()
    data = bytearray(wire.header(2, _BIG) + b"x")
    assert decoder.feed(memoryview(data), len(data)) == 1
    kept = sum(sys.getsizeof(getattr(decoder, name)) for name in Decoder.__slots__)
    assert kept < 500


def test_only_size_bytes_are_taken():
    buffer = bytearray(wire.frame(b"abc") + b"\xff" * 100)
    decoder = Decoder()
    assert decoder.feed(memoryview(buffer), 9) == 3
    assert decoder.outcome is None
    assert buffer[9:] == b"\xff" * 100


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_what_we_write_is_read_by_another(length):
    payload = bytes(length)
    found, rest = wire.parse(frames.binary(payload))
    assert found == [wire.Frame(wire.BINARY, payload)]
    assert rest == b""
    assert len(frames.binary_header(length)) == (2 if length < 126 else 4 if length < 65536 else 10)
    assert len(frames.binary_header(length)) <= frames.HEADER_ROOM


def test_control_frames_we_write():
    assert wire.parse(frames.ping(b"p") + frames.pong(b"q") + frames.close(4000, "r"))[0] == [
        wire.Frame(wire.PING, b"p"),
        wire.Frame(wire.PONG, b"q"),
        wire.Frame(wire.CLOSE, b"\x0f\xa0r"),
    ]
    assert frames.close(frames.NO_STATUS) == b"\x88\x00"
    with pytest.raises(ValueError, match="125"):
        frames.ping(bytes(126))


def test_a_long_reason_is_cut_between_characters():
    [one], _ = wire.parse(frames.close(1000, "ж" * 100))
    assert one.payload[2:].decode() == "ж" * 61


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2000, 5000])
def test_codes_that_may_not_be_sent(code):
    with pytest.raises(ValueError, match="may not be sent"):
        frames.close(code)


@pytest.mark.parametrize("made", [frames.ping(b"hi"), frames.pong(b""), frames.close(1001, "bye")])
def test_our_control_frames_in_a_clients_form(made):
    assert frames.masked(made, wire.MASK) == wire.frame(made[2:], made[0] & 15)
    assert frames.unmask(b"abcd", frames.unmask(b"abcd", b"some text")) == b"some text"
