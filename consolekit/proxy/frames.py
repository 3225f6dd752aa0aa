"""Proxy: the codec of RFC 6455 in the server's role. Pure: knows no socket, no loop, no clock, no relay.

``FrameHeaders`` reads and judges headers, ``Decoder`` makes payload of frames; ``tracker`` only follows them.
The decoder never waits for a whole frame: it unmasks what has come where it lies and keeps of a frame
no more than its unfinished header (13 bytes) or an unfinished control payload (124 bytes). So what a
client announces costs nothing, and a message of any allowed size is passed on as it comes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import attrs

from consolekit.core.errors import PeerError

try:
    from tornado.speedups import websocket_mask as _mask
except ImportError:  # tornado was built without its C extension: slow, and right
    from tornado.util import _websocket_mask as _mask

HEADER_ROOM: Final = 10
"""The longest header a server writes (RFC 6455, 5.2: two bytes and a 64-bit length, no mask)."""

MAX_MESSAGE: Final = 16 * 1024 * 1024

NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
NO_STATUS: Final = 1005
TOO_BIG: Final = 1009
INTERNAL: Final = 1011
VIEWER_REFUSED: Final = 4009

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN, _RSV, _MASKED, _CONTROL = 0x80, 0x70, 0x80, 0x08
_MAX_CONTROL = 125
_MAX_HEADER = 14
_AT_ONCE = 64 * 1024  # unmasked in pieces that stay in the processor's cache


class FrameError(PeerError):
    """The viewer's bytes are not what RFC 6455, the agreed subprotocol and the viewer's mode allow.

    Attributes:
        close_code: The code to close with: 1002, 1003 or 1009; of a filter: 1011 or 4009.
    """

    close_code: int
    why: str

    code = "frame_error"
    status = 400
    title = "The viewer broke the websocket protocol."

    def __init__(self, close_code: int, why: str) -> None:
        self.close_code, self.why = close_code, why
        super().__init__(why)


@attrs.frozen
class Close:
    """A close frame that came; ``code`` is 1005 where it carried none (RFC 6455, 7.1.5)."""

    code: int
    reason: str = ""


class FrameHeaders(ABC):
    """Reads the headers of one direction and judges them. What is done with payload is a subclass's.

    Args:
        max_message: The most bytes of one message, fragments added up; at least 125.
        masked: Whether these are a client's frames, all of which are masked, or a server's, none of which
            is (RFC 6455, 5.1).

    Attributes:
        outcome: How the stream of frames ended: the ``Close`` that came or the ``FrameError`` to fail
            with; None while it goes on. What comes after the end is ignored.
    """

    __slots__ = (
        "_control",
        "_fragmented",
        "_head",
        "_left",
        "_mask",
        "_mask_bit",
        "_mask_size",
        "_max_message",
        "_message",
        "_opcode",
        "outcome",
    )

    def __init__(self, max_message: int, *, masked: bool) -> None:
        self._max_message = max_message
        self._mask_bit, self._mask_size = (_MASKED, 4) if masked else (0, 0)
        self._head = b""  # an unfinished header
        self._control = b""  # an unfinished control payload
        self._mask = b""
        self._opcode = _BINARY
        self._left = 0  # payload bytes of the present frame still to come
        self._message = 0  # payload bytes of the present message, announced so far
        self._fragmented = False
        self.outcome: Close | FrameError | None = None

    def _read_header(self, view: memoryview, at: int, size: int) -> int:
        """Read a header, or the part of one that is there; returns where to go on."""
        had = len(self._head)
        head = self._head + bytes(view[at : min(at + _MAX_HEADER - had, size)])
        needs = self._check_start(head[0], head[1]) if len(head) >= 2 else _MAX_HEADER
        if self.outcome is None and len(head) >= needs - self._mask_size > 2:
            self._check_length(head[0], int.from_bytes(head[2 : needs - self._mask_size], "big"), needs)
        if self.outcome is not None:
            return size
        if len(head) < needs:
            self._head = head
            return size
        self._head = b""
        self._begin(head, needs)
        return at + needs - had

    def _check_start(self, first: int, second: int) -> int:
        """Judge the first two bytes (RFC 6455, 5.2 to 5.5); returns the size of the whole header."""
        opcode, length = first & 0x0F, second & 0x7F
        if second & _MASKED != self._mask_bit:
            self._fail("a frame is masked" if second & _MASKED else "a frame is not masked")
        elif first & _RSV:
            self._fail("a reserved bit is set and no extension was agreed on")
        elif _BINARY < opcode < _CLOSE or opcode > _PONG:
            self._fail(f"opcode {opcode:#x} is reserved")
        elif opcode & _CONTROL:
            if not first & _FIN:
                self._fail("a control frame is fragmented")
            elif length > _MAX_CONTROL:
                self._fail("a control frame is longer than 125 bytes")
        elif opcode == _CONTINUATION:
            if not self._fragmented:
                self._fail("a continuation frame continues nothing")
        elif self._fragmented:
            self._fail("a new message begins inside a fragmented one")
        elif opcode == _TEXT:
            # 1003 also covers text that is not UTF-8 (else 1007): no text is taken at all
            self._fail("a text message where binary was agreed on", UNSUPPORTED_DATA)
        if length < 126:
            self._check_size(opcode, length)
        return self._mask_size + (2 if length < 126 else 4 if length == 126 else 10)

    def _check_length(self, first: int, length: int, header: int) -> None:
        """Judge an extended length as soon as it is whole, before its mask has come."""
        if length >> 63:
            self._fail("the top bit of a 64-bit length is set")
        elif length < (126 if header == self._mask_size + 4 else 65536):
            self._fail("a length is not written in the shortest form")
        else:
            self._check_size(first & 0x0F, length)

    def _check_size(self, opcode: int, length: int) -> None:
        so_far = self._message if opcode == _CONTINUATION else 0
        if not opcode & _CONTROL and so_far + length > self._max_message:
            self._fail(f"a message is larger than {self._max_message} bytes", TOO_BIG)

    def _begin(self, head: bytes, header: int) -> None:
        """Begin the frame of a whole and accepted header."""
        first, length = head[0], head[1] & 0x7F
        if header > self._mask_size + 2:
            length = int.from_bytes(head[2 : header - self._mask_size], "big")
        self._mask = head[header - self._mask_size : header]
        self._opcode = opcode = first & 0x0F
        self._left = length
        if opcode & _CONTROL:
            if not length:
                self._end_control()
            return
        self._message = length + (self._message if opcode == _CONTINUATION else 0)
        self._fragmented = not first & _FIN

    @abstractmethod
    def _end_control(self) -> None:
        """A control frame is whole; its payload, if it was kept, is in ``_control``."""

    def _ended(self, outcome: Close | FrameError) -> None:
        if self.outcome is None:
            self.outcome = outcome

    def _fail(self, why: str, code: int = PROTOCOL_ERROR) -> None:
        self._ended(FrameError(code, why))


class Decoder(FrameHeaders):
    """Frames of a client in, payload out. One per connection, for its whole life.

    Args:
        max_message: The most bytes of one message, fragments added up; at least 125.

    Attributes:
        pong: Payload of the newest ping that is not answered yet, else None. RFC 6455, 5.5.3 lets one
            pong answer for all pings before it, so a flood of pings owes one pong.
    """

    __slots__ = ("pong",)

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        super().__init__(max_message, masked=True)
        self.pong: bytes | None = None

    def feed(self, view: memoryview, size: int) -> int:
        """Take the first ``size`` bytes of ``view``; leave their payload at its front, unmasked.

        Never raises: look at ``pong`` and ``outcome`` afterwards. The payload before a bad frame counts.

        Returns:
            How many bytes of payload lie at the front of ``view`` now.
        """
        at = out = 0
        while at < size and self.outcome is None:
            left = self._left
            if not left:
                if view[at] != 0x82 or size - at < 8 or self._head or self._fragmented:
                    at = self._read_header(view, at, size)
                    continue
                # the usual: a whole message below 64 KiB; the same steps without the calls
                left, body = view[at + 1] ^ _MASKED, at + 6
                usual = 0 < left < 126
                if left == 126:
                    left, body = view[at + 2] << 8 | view[at + 3], at + 8
                    usual = left >= 126
                if not usual or left > self._max_message:
                    at = self._read_header(view, at, size)
                    continue
                key, end = bytes(view[body - 4 : body]), body + left
                if end <= size:  # all of it is here: nothing to be remembered
                    view[out : out + left] = _mask(key, bytes(view[body:end]))
                    at, out = end, out + left
                    continue
                self._mask, self._opcode, at = key, _BINARY, body
            count = min(left, size - at, _AT_ONCE)
            data = _mask(self._mask, bytes(view[at : at + count]))
            at += count
            self._left = left = left - count
            if left and count & 3:
                turn = count & 3
                self._mask = self._mask[turn:] + self._mask[:turn]
            if self._opcode & _CONTROL:
                self._control += data
                if not left:
                    self._end_control()
            else:
                view[out : out + count] = data
                out += count
        return out

    def _end_control(self) -> None:
        payload, self._control = self._control, b""
        if self._opcode == _PING:
            self.pong = payload
        elif self._opcode == _CLOSE:
            self._ended(read_close(payload))


def read_close(payload: bytes) -> Close | FrameError:
    """Judge the payload of a close frame (RFC 6455, 5.5.1 and 7.4)."""
    if not payload:
        return Close(NO_STATUS)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_be_sent(code):
        return FrameError(PROTOCOL_ERROR, "a close frame carries no valid code")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        return FrameError(PROTOCOL_ERROR, "the reason of a close frame is not UTF-8")


def may_be_sent(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455, 7.4.2; 1012 to 1014 by IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def binary_header(length: int) -> bytes:
    """The header of a whole, unmasked binary message of ``length`` bytes."""
    if length < 126:
        return bytes((_FIN | _BINARY, length))
    if length < 65536:
        return b"\x82\x7e" + length.to_bytes(2, "big")
    return b"\x82\x7f" + length.to_bytes(8, "big")


def binary(payload: bytes) -> bytes:
    """A whole binary message."""
    return binary_header(len(payload)) + payload


def ping(payload: bytes = b"") -> bytes:
    """A ping frame; at most 125 bytes of payload."""
    return _control_frame(_PING, payload)


def pong(payload: bytes) -> bytes:
    """The answer to a ping."""
    return _control_frame(_PONG, payload)


def close(code: int, reason: str = "") -> bytes:
    """A close frame. A reason that is too long is cut between characters; 1005 makes it empty.

    Raises:
        ValueError: the code must not appear in a close frame (RFC 6455, 7.4).
    """
    if code == NO_STATUS:
        return _control_frame(_CLOSE, b"")
    if not may_be_sent(code):
        raise ValueError(f"{code} may not be sent in a close frame")
    text = reason.encode()[: _MAX_CONTROL - 2].decode(errors="ignore").encode()
    return _control_frame(_CLOSE, code.to_bytes(2, "big") + text)


def masked(frame: bytes, key: bytes) -> bytes:
    """A control frame of ours in a client's form (RFC 6455, 5.3).

    Args:
        frame: As ``ping``, ``pong`` and ``close`` make it.
        key: Four bytes that nobody can foresee.
    """
    return bytes((frame[0], frame[1] | _MASKED)) + key + unmask(key, frame[2:])


def masked_binary(payload: bytes, key: bytes) -> bytes:
    """A whole binary message in a client's form; the key as for ``masked``."""
    header = binary_header(len(payload))
    return bytes((header[0], header[1] | _MASKED)) + header[2:] + key + unmask(key, payload)


def unmask(key: bytes, data: bytes) -> bytes:
    """Take a mask off, or put it on: the same thing."""
    return _mask(key, data)


def _control_frame(opcode: int, payload: bytes) -> bytes:
    if len(payload) > _MAX_CONTROL:
        raise ValueError("a control frame carries at most 125 bytes")
    return bytes((_FIN | opcode, len(payload))) + payload
