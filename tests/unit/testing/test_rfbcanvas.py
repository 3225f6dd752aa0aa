from __future__ import annotations

import struct

import pytest

from consolekit.testing.rfbcanvas import Canvas, PixelFormat, Rect, Region, encode

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PALETTE = [RED, GREEN, BLUE]


def test_rects() -> None:
    a, b = Rect(0, 0, 10, 10), Rect(5, 8, 10, 10)
    assert a.union(b) == Rect(0, 0, 15, 18)
    assert a.clip(b) == Rect(5, 8, 5, 2)
    assert a.clip(Rect(20, 20, 5, 5)).empty
    assert (b.right, b.bottom) == (15, 18)


def test_fill_stays_inside() -> None:
    canvas = Canvas(4, 3)
    canvas.fill(Rect(2, 1, 100, 1), 7)
    canvas.fill(Rect(-5, 2, 6, 9), 5)
    canvas.fill(Rect(9, 9, 1, 1), 1)
    assert canvas.pixels(canvas.area) == bytes([0, 0, 0, 0, 0, 0, 7, 7, 5, 0, 0, 0])


def test_blit_a_part_at_a_place() -> None:
    source, target = Canvas(2, 2, 9), Canvas(4, 4)
    target.blit(source, Rect(0, 0, 2, 4), at=(1, 1))
    assert target.pixels(Rect(0, 1, 4, 1)) == bytes([0, 9, 0, 0])
    assert target.pixels(Rect(0, 3, 4, 1)) == bytes(4)


def test_text_of_any_character() -> None:
    canvas = Canvas(12, 8)
    assert canvas.text(0, 0, "I~", 1) == Rect(0, 0, 12, 8)
    known = canvas.pixels(canvas.area)
    assert 1 in known
    other = Canvas(12, 8)
    other.text(0, 0, "é☃", 1)
    unknown = Canvas(12, 8)
    unknown.text(0, 0, "??", 1)
    assert other.pixels(other.area) == unknown.pixels(unknown.area)


def test_every_printable_character_differs() -> None:
    seen = set()
    for code in range(0x20, 0x7F):
        canvas = Canvas(6, 8)
        canvas.text(0, 0, chr(code), 1)
        seen.add(canvas.pixels(canvas.area))
    assert len(seen) == 95


def test_region_melts_what_overlaps() -> None:
    region = Region()
    region.add(Rect(0, 0, 0, 5))
    assert not region
    region.add(Rect(0, 0, 5, 5))
    region.add(Rect(20, 20, 5, 5))
    region.add(Rect(3, 3, 5, 5))
    assert region.take() == [Rect(20, 20, 5, 5), Rect(0, 0, 8, 8)]
    assert not region


def test_region_of_very_many_is_one() -> None:
    region = Region()
    for i in range(Region.MOST + 1):
        region.add(Rect(i * 10, 0, 5, 5))
    assert region.take() == [Rect(0, 0, Region.MOST * 10 + 5, 5)]


def test_default_pixels_are_little_endian_bgrx() -> None:
    tables = PixelFormat().tables(PALETTE)
    assert encode(bytes([0, 1, 2]), tables) == bytes([0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0])


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (struct.pack(">BBBB3H3B3x", 32, 24, 0, 1, 255, 255, 255, 0, 8, 16), b"\xff\0\0\0"),
        (struct.pack(">BBBB3H3B3x", 32, 24, 1, 1, 255, 255, 255, 16, 8, 0), b"\0\xff\0\0"),
        (struct.pack(">BBBB3H3B3x", 16, 16, 0, 1, 31, 63, 31, 11, 5, 0), b"\0\xf8"),
        (struct.pack(">BBBB3H3B3x", 16, 16, 1, 1, 31, 63, 31, 11, 5, 0), b"\xf8\0"),
        (struct.pack(">BBBB3H3B3x", 8, 8, 0, 1, 7, 7, 3, 0, 3, 6), b"\x07"),
    ],
)
def test_formats(data: bytes, pixel: bytes) -> None:
    pixel_format = PixelFormat.unpack(data)
    assert pixel_format.pack() == data
    assert encode(b"\0", pixel_format.tables([RED])) == pixel


@pytest.mark.parametrize(
    ("bits", "true_colour", "shift"), [(8, 0, 0), (24, 1, 0), (0, 1, 0), (16, 1, 16), (32, 1, 255)]
)
def test_formats_that_are_not_served(bits: int, true_colour: int, shift: int) -> None:
    data = struct.pack(">BBBB3H3B3x", bits, bits, 0, true_colour, 255, 255, 255, shift, 0, 0)
    with pytest.raises(ValueError, match="true colour"):
        PixelFormat.unpack(data)


def test_maxima_beyond_the_pixel_do_not_overflow() -> None:
    data = struct.pack(">BBBB3H3B3x", 8, 8, 0, 1, 65535, 65535, 65535, 7, 7, 7)
    assert len(encode(b"\0", PixelFormat.unpack(data).tables([RED]))) == 1
