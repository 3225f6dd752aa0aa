"""Testing: rectangles, an indexed-colour canvas, a tiny font, RFB pixel formats.

Knows no protocol, no socket.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal, Self

import attrs

Colour = tuple[int, int, int]

GLYPH_WIDTH, GLYPH_HEIGHT, ADVANCE = 5, 8, 6

# ASCII 0x20 to 0x7e; five columns a glyph, one byte a column, lowest bit at the top.
_GLYPHS = bytes.fromhex(
    "0000000000 00005F0000 0007000700 147F147F14 242A7F2A12 2313086462 3649552250 0005030000"
    "003E410000 0000413E00 2A1C7F1C2A 08083E0808 0060200000 0808080808 0060600000 4030080601"
    "3E5149453E 00427F4000 4261514946 2149494936 1F10107F10 2F49494931 3E49494932 0161190503"
    "3649494936 264949493E 0036360000 0076360000 0814224100 1414141414 0041221408 0201590906"
    "3E415D551E 7C1211127C 7F49494936 3E41414122 7F4141413E 7F49494941 7F09090901 3E41494A38"
    "7F0808087F 00417F4100 304040403F 7F08142241 7F40404040 7F0204027F 7F0204087F 3E4141413E"
    "7F09090906 3E4151615E 7F09192946 2649494932 01017F0101 3F4040403F 0F3040300F 7F2010207F"
    "6314081463 0304780403 6151494543 007F414100 0106083040 0041417F00 0402010204 4040404040"
    "0001020000 2054545478 7F44444438 3844444428 384444447F 3854545458 08087E0909 18A4A4A47C"
    "7F04040478 00447D4000 4080847D00 7F10284400 00417F4000 7C04780478 7C04040478 3844444438"
    "FC24242418 18242424FC 7C08040408 4854545424 043E444400 3C4040407C 0C3040300C 3C4038403C"
    "4428102844 1CA0A0A07C 4464544C44 0008364100 00007F0000 0041360800 0804080408"
)


@attrs.frozen
class Rect:
    """A rectangle of pixels; empty when ``width`` or ``height`` is not positive."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column beyond."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row beyond."""
        return self.y + self.height

    @property
    def empty(self) -> bool:
        """True if there is no pixel in it."""
        return self.width <= 0 or self.height <= 0

    def union(self, other: Rect) -> Rect:
        """The smallest rectangle around both; neither may be empty."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Rect(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def clip(self, other: Rect) -> Rect:
        """What both have in common; may be empty."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        return Rect(x, y, min(self.right, other.right) - x, min(self.bottom, other.bottom) - y)


class Canvas:
    """A picture of palette indices, one byte a pixel."""

    def __init__(self, width: int, height: int, colour: int = 0) -> None:
        self.area: Rect = Rect(0, 0, width, height)
        self._pixels = bytearray([colour]) * (width * height)

    def fill(self, rect: Rect, colour: int) -> None:
        """Paint a rectangle; what lies outside is left out."""
        rect = rect.clip(self.area)
        if rect.empty:
            return
        line = bytes([colour]) * rect.width
        for start in self._starts(rect):
            self._pixels[start : start + rect.width] = line

    def blit(self, source: Canvas, rect: Rect, *, at: tuple[int, int] = (0, 0)) -> None:
        """Copy from a canvas whose upper left corner lies ``at`` a place of this one.

        Args:
            source: Where the pixels come from.
            rect: Which part of *this* canvas may change.
            at: Where the source's corner lies.
        """
        placed = Rect(*at, source.area.width, source.area.height)
        rect = rect.clip(placed).clip(self.area)
        if rect.empty:
            return
        origin = Rect(rect.x - at[0], rect.y - at[1], rect.width, rect.height)
        for start, taken in zip(self._starts(rect), source._starts(origin), strict=True):
            self._pixels[start : start + rect.width] = source._pixels[taken : taken + rect.width]

    def text(self, x: int, y: int, text: str, colour: int, *, scale: int = 1) -> Rect:
        """Write one line; characters beyond ASCII become ``?``. Returns the rectangle it fills."""
        for index, char in enumerate(text):
            self._glyph(x + index * ADVANCE * scale, y, char, colour, scale)
        return Rect(x, y, len(text) * ADVANCE * scale, GLYPH_HEIGHT * scale)

    def pixels(self, rect: Rect) -> bytes:
        """The indices inside a rectangle of this canvas, row by row."""
        return b"".join(self._pixels[start : start + rect.width] for start in self._starts(rect))

    def _starts(self, rect: Rect) -> range:
        stride = self.area.width
        first = rect.y * stride + rect.x
        return range(first, first + rect.height * stride, stride)

    def _glyph(self, x: int, y: int, char: str, colour: int, scale: int) -> None:
        code = ord(char) if " " <= char <= "~" else ord("?")
        start = (code - 0x20) * GLYPH_WIDTH
        for column, bits in enumerate(_GLYPHS[start : start + GLYPH_WIDTH]):
            for row in range(GLYPH_HEIGHT):
                if bits >> row & 1:
                    self.fill(Rect(x + column * scale, y + row * scale, scale, scale), colour)


class Region:
    """What has changed: a few rectangles; many are drawn together into one."""

    MOST = 12

    def __init__(self) -> None:
        self._rects: list[Rect] = []

    def __bool__(self) -> bool:
        return bool(self._rects)

    def add(self, rect: Rect) -> None:
        """Note a rectangle, melting it with those it overlaps."""
        if rect.empty:
            return
        apart = []
        for known in self._rects:
            if known.clip(rect).empty:
                apart.append(known)
            else:
                rect = rect.union(known)
        self._rects = [*apart, rect]
        if len(self._rects) > self.MOST:
            for known in apart:
                rect = rect.union(known)
            self._rects = [rect]

    def take(self) -> list[Rect]:
        """Give the rectangles and forget them."""
        rects, self._rects = self._rects, []
        return rects


@attrs.frozen(kw_only=True)
class PixelFormat:
    """A true-colour PIXEL_FORMAT (RFC 6143, 7.4) of 8, 16 or 32 bits a pixel."""

    bits: int = 32
    depth: int = 24
    big_endian: bool = False
    maxima: Colour = (255, 255, 255)
    shifts: Colour = (16, 8, 0)

    _LAYOUT = struct.Struct(">BB?B3H3B3x")

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read the 16 bytes.

        Raises:
            ValueError: no true colour, or a number of bits that RFB does not have.
        """
        bits, depth, big, true_colour, *rest = cls._LAYOUT.unpack(data)
        red, green, blue, *shifts = rest
        if not true_colour or bits not in (8, 16, 32) or any(shift >= bits for shift in shifts):
            raise ValueError("only true colour of 8, 16 or 32 bits is served here")
        return cls(
            bits=bits,
            depth=depth,
            big_endian=big,
            maxima=(red, green, blue),
            shifts=(shifts[0], shifts[1], shifts[2]),
        )

    def pack(self) -> bytes:
        """Write the 16 bytes."""
        return self._LAYOUT.pack(self.bits, self.depth, self.big_endian, 1, *self.maxima, *self.shifts)

    def tables(self, palette: Sequence[Colour]) -> list[bytes]:
        """For each byte of a pixel, the table from palette index to that byte."""
        size = self.bits // 8
        order: Literal["big", "little"] = "big" if self.big_endian else "little"
        mask = (1 << self.bits) - 1
        values = [(self._value(colour) & mask).to_bytes(size, order) for colour in palette]
        return [bytes(value[i] for value in values).ljust(256, b"\0") for i in range(size)]

    def _value(self, colour: Colour) -> int:
        parts = zip(colour, self.maxima, self.shifts, strict=True)
        return sum((part * most + 127) // 255 << shift for part, most, shift in parts)


def encode(indices: bytes, tables: Sequence[bytes]) -> bytes:
    """Turn palette indices into Raw pixels (RFC 6143, 7.7.1) by ``PixelFormat.tables``."""
    size = len(tables)
    if size == 1:
        return indices.translate(tables[0])
    raw = bytearray(len(indices) * size)
    for offset, table in enumerate(tables):
        raw[offset::size] = indices.translate(table)
    return bytes(raw)
