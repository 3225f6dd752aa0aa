"""Providers, RFB: tells what a person put in from what the viewer's program says by itself.

Pure: no asyncio, socket, ssl, time, logging. Knows the client messages of RFC 6143, 7.5, and those of the
extensions that noVNC speaks (the community's rfbproto: QEMU's keys, ExtendedMouseButtons, extended clipboard,
ContinuousUpdates, Fence, ExtendedDesktopSize, xvp).

Why looking is only looking: every message that goes on says itself how long it is, so the server reads the
same messages as this does, whatever was left out between them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final, NoReturn

import attrs

from consolekit.core.errors import ViewerRefused
from consolekit.core.types import Mode
from consolekit.providers.rfbviewer import NONE

_VERSION = re.compile(rb"RFB 003\.00[78]\n")
_SHARED = b"\x01"
_PROVIDE_OR_NOTIFY = 0x18  # in the first byte of an extended clipboard message's flags
_EXTENDED_POINTER = 0x80  # in a PointerEvent's button mask


class Begins(enum.Enum):
    """What a viewer sends first where the filter begins; the rest follows in order (RFC 6143, 7.1 to 7.5)."""

    VERSION = "version"
    SECURITY = "security"
    CLIENT_INIT = "client_init"
    MESSAGES = "messages"


@attrs.frozen(kw_only=True)
class _Message:
    """One type of message.

    Attributes:
        head: How many bytes its head has, by what is there of it: at least its type.
        rest: How many bytes follow that head.
        passes: Whether who only looks may send it.
        puts_in: Whether this one is a person's doing, by its head.
    """

    head: Callable[[bytes], int]
    rest: Callable[[bytes], int] = lambda head: 0
    passes: bool = False
    puts_in: Callable[[bytes], bool] = lambda head: False


def _long(size: int) -> Callable[[bytes], int]:
    return lambda head: size


def _always(_: bytes) -> bool:
    return True


def _encodings(head: bytes) -> int:
    return 4 * int.from_bytes(head[2:4], "big")


def _pointer(head: bytes) -> int:
    return 5 if head[1] & _EXTENDED_POINTER else 4


def _length(head: bytes) -> int:
    """Of a ClientCutText; negative where it is an extended clipboard message."""
    return int.from_bytes(head[4:8], "big", signed=True)


def _cut_head(head: bytes) -> int:
    return 9 if len(head) >= 8 and _length(head) < 0 else 8


def _cut_rest(head: bytes) -> int:
    return abs(_length(head)) - (len(head) - 8)


def _cut_puts_in(head: bytes) -> bool:
    """Capabilities, and asking for what the server copied, are the program's own doing."""
    return len(head) == 8 or bool(head[8] & _PROVIDE_OR_NOTIFY)


_MESSAGES: Final = {
    0: _Message(head=_long(20), passes=True),  # SetPixelFormat
    2: _Message(head=_long(4), rest=_encodings, passes=True),  # SetEncodings
    3: _Message(head=_long(10), passes=True),  # FramebufferUpdateRequest
    4: _Message(head=_long(8), puts_in=_always),  # KeyEvent
    5: _Message(head=_long(2), rest=_pointer, puts_in=_always),  # PointerEvent
    6: _Message(head=_cut_head, rest=_cut_rest, puts_in=_cut_puts_in),  # ClientCutText
    150: _Message(head=_long(10), passes=True),  # EnableContinuousUpdates
    248: _Message(head=_long(9), rest=lambda head: head[8], passes=True),  # ClientFence
    250: _Message(head=_long(4), puts_in=_always),  # xvp: shutdown, reboot, reset
    251: _Message(head=_long(8), rest=lambda head: 16 * head[6]),  # SetDesktopSize: a window's doing
}
_QEMU = 255
_QEMU_KEY: Final = _Message(head=_long(12), puts_in=_always)
_QEMU_UNSAID: Final = _Message(head=_long(2))
_GREETINGS: Final = {Begins.VERSION: 12, Begins.SECURITY: 1, Begins.CLIENT_INIT: 1}
_ORDER: Final = tuple(Begins)


class RfbFilter:
    """One viewer's stream; a ``ViewerFilter``. Holds back no more than a head: 20 bytes.

    In mode INTERACT every byte passes as it comes, and what cannot be read ends the reading: from there on
    each byte counts as input. In mode VIEW input is left out, and what cannot be read ends the session.

    Args:
        mode: What the viewer may do.
        begins: What it sends first.

    Attributes:
        inputs: Messages of a person so far.
    """

    __slots__ = ("_head", "_left", "_looks_only", "_lost", "_passes", "_stage", "inputs")

    def __init__(self, mode: Mode, *, begins: Begins) -> None:
        self._looks_only = mode is Mode.VIEW
        self._stage = begins
        self._head = b""  # of the message that has begun
        self._left = 0  # bytes of it behind its head that are still to come
        self._passes = True  # whether they go on
        self._lost = False
        self.inputs: int = 0

    def feed(self, data: bytes) -> bytes:
        """Take what the viewer sent; give what may go on.

        Raises:
            ViewerRefused: who only looks sends what is not known here.
        """
        if self._lost:
            self.inputs += len(data)
            return data
        try:
            passed = self._read(data)
        except ViewerRefused:
            if self._looks_only:
                raise
            self._lost = True
            self.inputs += len(data)
            return data
        return passed if self._looks_only else data

    def _read(self, data: bytes) -> bytes:
        passed, at = bytearray(), 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                self._left -= len(part)
                passed += part if self._passes else b""
                at += len(part)
                continue
            wanted = self._wanted()
            part = data[at : at + wanted - len(self._head)]
            at += len(part)
            self._head += part
            if len(self._head) == wanted == self._wanted():
                passed += self._end_head()
        return bytes(passed)

    def _wanted(self) -> int:
        """How many bytes the head is to have, by what is there of it."""
        if self._stage is not Begins.MESSAGES:
            return _GREETINGS[self._stage]
        return self._kind().head(self._head) if self._head else 1

    def _kind(self) -> _Message:
        kind = self._head[0]
        if kind == _QEMU:
            if len(self._head) == 1:
                return _QEMU_UNSAID
            if self._head[1] == 0:
                return _QEMU_KEY
        elif kind in _MESSAGES:
            return _MESSAGES[kind]
        _refuse(f"a message of type {kind}, which is not known here")

    def _end_head(self) -> bytes:
        """The head is whole; gives what of it goes on."""
        head, passes = self._head, True
        if self._stage is Begins.MESSAGES:
            kind = self._kind()
            self._left, passes = kind.rest(head), kind.passes
            self.inputs += kind.puts_in(head)
        else:
            head = self._greet(head)
        self._head, self._passes = b"", passes
        return head if passes else b""

    def _greet(self, said: bytes) -> bytes:
        """One step before the messages; who only looks throws no other viewer out (RFC 6143, 7.3.1)."""
        stage = self._stage
        if stage is Begins.VERSION and not _VERSION.fullmatch(said):
            _refuse("a greeting that is not RFB 3.7 or 3.8")
        if stage is Begins.SECURITY and said[0] != NONE:
            _refuse(f"security type {said[0]}, behind which nobody else can read")
        self._stage = _ORDER[_ORDER.index(stage) + 1]
        return _SHARED if stage is Begins.CLIENT_INIT else said


def _refuse(what: str) -> NoReturn:
    raise ViewerRefused(f"the viewer sent {what}")
