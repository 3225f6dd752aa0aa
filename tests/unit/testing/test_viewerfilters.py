"""testing.viewerfilters: our filter stands it in both forms, and every wrong one is caught by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar

import pytest

from consolekit.core.errors import ViewerRefused
from consolekit.core.types import Mode
from consolekit.providers.rfbfilter import Begins, RfbFilter
from consolekit.testing import Said, check_viewer_filter

MESSAGES = [
    Said(struct.pack(">BxHii", 2, 2, 0, -239)),  # SetEncodings
    Said(b"\x03" + bytes(9)),  # FramebufferUpdateRequest
    Said(b"\x04\x01" + bytes(6), is_input=True),  # KeyEvent
    Said(b"\x05\x01" + bytes(4), is_input=True),  # PointerEvent
    Said(struct.pack(">B3xI", 6, 600) + b"x" * 600, is_input=True),  # ClientCutText
    Said(b"\x03" + bytes(9)),
]


@pytest.mark.parametrize(
    ("begins", "start"),
    [
        (Begins.MESSAGES, []),
        (Begins.VERSION, [Said(b"RFB 003.008\n"), Said(b"\x01"), Said(b"\x00", on_view=b"\x01")]),
    ],
)
def test_ours(begins: Begins, start: list[Said]) -> None:
    check_viewer_filter(lambda mode: RfbFilter(mode, begins=begins), [*start, *MESSAGES])


# ---- a protocol of two messages: "k" and a letter is a key, "p" is a poll; what else is said is refused

TALK = [Said(b"p"), Said(b"ka", is_input=True), Said(b"kb", is_input=True), Said(b"p")]


class Good:
    """Keeps the contract."""

    def __init__(self, mode: Mode) -> None:
        self.view, self.inputs, self.held = mode is Mode.VIEW, 0, b""

    def feed(self, data: bytes) -> bytes:
        passed, data, self.held = b"", self.held + data, b""
        while data:
            size = self.size(data)
            if len(data) < size:
                self.held = data
                break
            passed += self.one(data[:size])
            data = data[size:]
        return passed

    def size(self, data: bytes) -> int:
        if data[:1] not in (b"k", b"p"):
            raise ViewerRefused("neither a key nor a poll")
        return 2 if data[:1] == b"k" else 1

    def one(self, message: bytes) -> bytes:
        if message[:1] == b"k":
            self.inputs += 1
            return b"" if self.view else message
        return message


def test_a_good_one() -> None:
    check_viewer_filter(Good, TALK)


class Line:
    """Everything on it is typed."""

    def __init__(self, mode: Mode) -> None:
        self.mode, self.inputs = mode, 0

    def feed(self, data: bytes) -> bytes:
        self.inputs += len(data)
        return data if self.mode is Mode.INTERACT else b""


def test_a_protocol_without_chatter() -> None:
    check_viewer_filter(Line, [Said(b"root\r", is_input=True)])


class LetsKeysThrough(Good):
    def one(self, message: bytes) -> bytes:
        self.inputs += message[:1] == b"k"
        return message


class CountsPolls(Good):
    def one(self, message: bytes) -> bytes:
        passed = super().one(message)
        self.inputs += message == b"p"
        return passed


class CountsNothing(Good):
    def one(self, message: bytes) -> bytes:
        passed = super().one(message)
        self.inputs = 0
        return passed


class CountsReads(Good):
    def feed(self, data: bytes) -> bytes:
        before = self.inputs
        passed = super().feed(data)
        self.inputs = before + (b"k" in data)
        return passed


class ForgetsWhatWasCut(Good):
    def feed(self, data: bytes) -> bytes:
        self.held = b""
        return super().feed(data)


class Hoards(Good):
    """Waits for the end of everything."""

    total = b""

    def feed(self, data: bytes) -> bytes:
        self.total += super().feed(data)
        if len(self.total) < 700:
            return b""
        passed, self.total = self.total, b""
        return passed


class Shares(Good):
    seen: ClassVar[list[bytes]] = []

    def one(self, message: bytes) -> bytes:
        self.seen.append(message)
        passed = super().one(message)
        return passed if self.seen.count(message) % 2 else passed * 2


class Stumbles(Good):
    def size(self, data: bytes) -> int:
        return {b"k": 2, b"p": 1}[data[:1]]


class Echoes(Good):
    """Is right about what it knows, and says everything twice that it does not."""

    def feed(self, data: bytes) -> bytes:
        try:
            return super().feed(data)
        except ViewerRefused:
            return data * 9


@pytest.mark.parametrize(
    ("wrong", "talk", "said"),
    [
        (LetsKeysThrough, TALK, "view: what went on is not what should have"),
        (CountsPolls, TALK, "message 0: what is no input was counted"),
        (CountsNothing, TALK, "message 1: a person's input was not counted"),
        (CountsReads, TALK, "in pieces of 7 bytes: inputs differ"),
        (ForgetsWhatWasCut, TALK, "in pieces of 1 bytes: a viewer that says nothing wrong is refused"),
        (Hoards, [*TALK, *[Said(b"p")] * 694], "bytes are held back"),
        (Shares, TALK, "what went on is not what should have"),
        (Stumbles, TALK, "garbage behind 0 messages: KeyError, not ViewerRefused"),
        (Echoes, TALK, "garbage behind 0 messages: more went on than was sent"),
        (Good, [Said(b"p")], "the conversation has no input"),
    ],
)
def test_wrong_ones(wrong: Callable[[Mode], Good], talk: list[Said], said: str) -> None:
    Shares.seen.clear()
    with pytest.raises(AssertionError, match=said):
        check_viewer_filter(wrong, talk)
