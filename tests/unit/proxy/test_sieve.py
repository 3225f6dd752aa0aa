"""The sieve: what lies in a viewer's frames is filtered, and what goes on are whole, masked frames."""

from __future__ import annotations

import logging

import pytest
import wire

from consolekit.core.errors import ViewerRefused
from consolekit.proxy.frames import MAX_MESSAGE, Close, Decoder, FrameError
from consolekit.proxy.sieve import Sieve, Sift

STEPS = [1, 2, 7, 1 << 30]
KEY = b"\x11\x22\x33\x44"


class NoVowels:
    """A filter: vowels are input and go no further, an ``!`` is refused, a ``?`` is a bug."""

    def __init__(self) -> None:
        self.inputs = 0

    def feed(self, data: bytes) -> bytes:
        if b"?" in data:
            raise RuntimeError("canary")
        if b"!" in data:
            raise ViewerRefused("the viewer sent what cannot be said")
        self.inputs += sum(byte in b"aeiou" for byte in data)
        return bytes(byte for byte in data if byte not in b"aeiou")


def sift_through(data: bytes, step: int = 1 << 30, most: int = MAX_MESSAGE) -> tuple[bytes, Sieve, Sift]:
    sift = Sift(NoVowels())
    sieve, passed = Sieve(sift, most, make_key=lambda size: KEY[:size]), b""
    for start in range(0, len(data), step):
        passed += bytes(sieve.feed(memoryview(data[start : start + step])))
    return passed, sieve, sift


def payload_of(stream: bytes) -> bytes:
    """What a server reads in the frames; they are all right, and nothing of one is missing."""
    decoder, view = Decoder(), bytearray(stream)
    size = decoder.feed(memoryview(view), len(view))
    assert decoder.outcome is None
    assert not decoder._left
    return bytes(view[:size])


def said(payload: bytes, opcode: int = wire.BINARY, *, fin: bool = True) -> bytes:
    return wire.frame(payload, opcode, fin=fin, mask=wire.MASK)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536])
def test_messages_of_every_form(size: int, step: int) -> None:
    words = (b"a cabbage " * 7000)[:size]
    passed, sieve, sift = sift_through(said(words) + said(b"more"), max(step, size // 50))
    assert payload_of(passed) == NoVowels().feed(words + b"more")
    assert sieve.payload == size + 4
    assert sift.inputs == sum(words.count(vowel) for vowel in b"aeiou") + 2
    assert sieve.outcome is None


@pytest.mark.parametrize("step", STEPS)
def test_fragments_and_what_lies_between_them(step: int) -> None:
    stream = said(b"ab", fin=False) + said(b"hi", wire.PING) + said(b"", 0, fin=False) + said(b"cd", 0)
    passed, sieve, _ = sift_through(stream + said(b"", wire.PONG), step)
    ping, pong = wire.frame(b"hi", wire.PING, mask=KEY), wire.frame(b"", wire.PONG, mask=KEY)
    pieces = [wire.frame(piece, mask=KEY) for piece in (b"b", b"cd", b"c", b"d")]
    assert passed in (pieces[0] + ping + pieces[1] + pong, pieces[0] + ping + pieces[2] + pieces[3] + pong)
    assert sieve.payload == 4


def test_nothing_is_sent_where_nothing_goes_on() -> None:
    passed, sieve, sift = sift_through(said(b"aeiou") + said(b""))
    assert (passed, sieve.payload, sift.inputs) == (b"", 5, 5)


@pytest.mark.parametrize("step", STEPS)
def test_a_close_frame_is_the_outcome(step: int) -> None:
    passed, sieve, _ = sift_through(said(b"bye") + said(b"\x03\xe8", wire.CLOSE) + said(b"lost"), step)
    assert payload_of(passed) == b"by"
    assert sieve.outcome == Close(1000)


@pytest.mark.parametrize("step", STEPS)
def test_what_is_refused_ends_it(step: int) -> None:
    stream = said(b"one") + said(b"tw!", wire.PING) + said(b"no!") + said(b"three") + said(b"x", wire.PING)
    passed, sieve, _ = sift_through(stream, step)
    assert isinstance(sieve.outcome, FrameError)
    assert (sieve.outcome.close_code, sieve.outcome.why) == (4009, "the viewer sent what cannot be said")
    assert payload_of(passed) in (b"n", b"nn")
    assert wire.frame(b"x", wire.PING, mask=KEY) not in passed


def test_a_filter_that_fails_ends_it_too(caplog: pytest.LogCaptureFixture) -> None:
    passed, sieve, _ = sift_through(said(b"what?") + said(b"three"))
    assert passed == b""
    assert isinstance(sieve.outcome, FrameError)
    assert (sieve.outcome.close_code, sieve.outcome.why) == (1011, "the viewer filter failed: RuntimeError")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    ("bad", "code"),
    [(wire.frame(b"x", mask=b""), 1002), (said(b"x", wire.TEXT), 1003), (said(b"x" * 200), 1009)],
    ids=["not masked", "text", "too big"],
)
@pytest.mark.parametrize("step", STEPS)
def test_bad_frames(bad: bytes, code: int, step: int) -> None:
    passed, sieve, _ = sift_through(said(b"good") + bad + said(b"late"), step, most=125)
    assert payload_of(passed) == b"gd"
    assert isinstance(sieve.outcome, FrameError)
    assert sieve.outcome.close_code == code


def test_every_frame_has_a_mask_of_its_own() -> None:
    sieve = Sieve(Sift(NoVowels()), MAX_MESSAGE)
    keys = {bytes(sieve.feed(memoryview(said(b"b"))))[2:6] for _ in range(20)}
    assert len(keys) == 20
