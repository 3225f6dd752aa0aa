"""Proxy: follows websocket frames that pass as they are. Pure: knows no socket, no loop, no relay.

It looks at headers alone and copies nothing: what it must know is where frames end (our own control frames
go between them, never into one), how much of it is payload, and whether a peer breaks the protocol.
"""

from __future__ import annotations

from typing import Final

from consolekit.proxy.frames import FrameHeaders, read_close, unmask

ANY_SIZE: Final = 1 << 63
"""For a direction whose messages nobody keeps on the way."""

_BINARY, _CLOSE, _CONTROL = 0x2, 0x8, 0x08
_WHOLE_BINARY = 0x82
_USUAL = 8  # bytes of the longest header of a usual message


class Tracker(FrameHeaders):
    """Frames of one peer in, what is to be passed on out. One per direction, for its whole life.

    An unfinished header is held back until it is whole and accepted; so after each ``feed`` the bytes
    passed on end between two frames or inside of a payload. A close frame is never passed on: it becomes
    ``outcome``, and each side gets one of our own.

    Args:
        max_message: The most bytes of one message, fragments added up.
        masked: Whether the peer is a client.

    Attributes:
        payload: Bytes of messages that came so far, without headers and control frames.
    """

    __slots__ = ("payload",)

    def __init__(self, max_message: int = ANY_SIZE, *, masked: bool) -> None:
        super().__init__(max_message, masked=masked)
        self.payload: int = 0

    @property
    def between(self) -> bool:
        """Whether what was passed on so far ends with a whole frame."""
        return not self._left or self._opcode == _CLOSE

    def feed(self, data: memoryview) -> memoryview:
        """Take what came; never raises: look at ``outcome`` afterwards.

        Returns:
            What is to be passed on, as it came. What lies before a bad or last frame is.
        """
        if self._head:
            data, self._head = memoryview(self._head + bytes(data)), b""
        at = passed = 0
        size, marked, shortest = len(data), self._mask_bit, 2 + self._mask_size
        while at < size and self.outcome is None:
            left = self._left
            if not left:
                # the usual: a whole message below 64 KiB; the same steps without the calls
                usual = data[at] == _WHOLE_BINARY and size - at >= _USUAL and not self._fragmented
                if usual:
                    left, body = data[at + 1] ^ marked, at + shortest
                    usual = 0 < left < 126
                    if left == 126:
                        left, body = data[at + 2] << 8 | data[at + 3], body + 2
                        usual = left >= 126
                if not usual or left > self._max_message:
                    at = self._read_header(data, at, size)
                    if not self._head and self.outcome is None and self._opcode != _CLOSE:
                        passed = at
                    continue
                self._opcode = _BINARY
                at = body
            count = min(left, size - at)
            self._left = left - count
            at += count
            if self._opcode == _CLOSE:
                self._keep(data[at - count : at])
                continue
            passed = at
            if not self._opcode & _CONTROL:
                self.payload += count
        return data[:passed]

    def finish(self, data: memoryview) -> memoryview:
        """Take no more of what came than belongs to the frame that is under way; returns that.

        Only while not ``between``.
        """
        count = min(self._left, len(data))
        self._left -= count
        if not self._opcode & _CONTROL:
            self.payload += count
        return data[:count]

    def _keep(self, part: memoryview) -> None:
        """Keep a part of a close frame's payload."""
        self._control += bytes(part)
        if not self._left:
            self._end_control()

    def _end_control(self) -> None:
        if self._opcode == _CLOSE:
            self._ended(read_close(unmask(self._mask, self._control) if self._mask else self._control))
