"""providers.rfbfilter: each client message whole and byte by byte, in both modes."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from consolekit.core.errors import ViewerRefused
from consolekit.core.types import Mode
from consolekit.providers.rfbfilter import Begins, RfbFilter

EXTENDED_CLIPBOARD = {"caps": 0x01, "request": 0x02, "peek": 0x04, "notify": 0x08, "provide": 0x10}


def extended(action: str, more: bytes = b"") -> bytes:
    """An extended clipboard message: its length is negative, flags come first."""
    body = bytes([EXTENDED_CLIPBOARD[action], 0, 0, 1]) + more
    return struct.pack(">B3xi", 6, -len(body)) + body


#: What a program says by itself, and may be said by who only looks.
CHATTER = {
    "SetPixelFormat": b"\0" + bytes(range(19)),
    "SetEncodings": struct.pack(">BxHiii", 2, 3, 7, -223, -312),
    "SetEncodings of none": struct.pack(">BxH", 2, 0),
    "FramebufferUpdateRequest": struct.pack(">BBHHHH", 3, 1, 0, 0, 1280, 800),
    "EnableContinuousUpdates": struct.pack(">BBHHHH", 150, 1, 0, 0, 1280, 800),
    "ClientFence": struct.pack(">B3xIB", 248, 3, 5) + b"fence",
    "ClientFence without payload": struct.pack(">B3xIB", 248, 3, 0),
}
#: What a person put in.
INPUT = {
    "KeyEvent": struct.pack(">BB2xI", 4, 1, 0x61),
    "PointerEvent": struct.pack(">BBHH", 5, 1, 10, 20),
    "PointerEvent with extended buttons": struct.pack(">BBHHB", 5, 0x81, 10, 20, 1),
    "ClientCutText": struct.pack(">B3xI", 6, 4) + b"\4\1\0\0",
    "ClientCutText without text": struct.pack(">B3xI", 6, 0),
    "extended clipboard: notify": extended("notify"),
    "extended clipboard: provide": extended("provide", b"deflated"),
    "QEMU key": struct.pack(">BBHII", 255, 0, 1, 0x61, 30),
    "xvp": bytes([250, 0, 1, 2]),
}
#: What a program says by itself, and would change something there.
MEDDLING = {
    "SetDesktopSize": struct.pack(">BxHHBxIHHHHI", 251, 800, 600, 1, 7, 0, 0, 800, 600, 0),
    "extended clipboard: caps": extended("caps", bytes(4)),
    "extended clipboard: request": extended("request"),
    "extended clipboard: peek": extended("peek"),
}
EVERY = CHATTER | INPUT | MEDDLING
UNKNOWN = [b"\x01", b"\x07", b"\x7f", b"\xfc", b"\xff\x01", b"\xff\xff", b"R"]


def fed(
    data: bytes, mode: Mode, *, step: int = 1 << 30, begins: Begins = Begins.MESSAGES
) -> tuple[bytes, int]:
    """What went on, and how much input was counted."""
    strainer = RfbFilter(mode, begins=begins)
    out = b"".join(strainer.feed(data[at : at + step]) for at in range(0, len(data), step))
    return out, strainer.inputs


@pytest.mark.parametrize("step", [1, 3, 1 << 30], ids=["single bytes", "threes", "whole"])
class TestOneMessage:
    @pytest.mark.parametrize("name", CHATTER)
    def test_chatter_passes_and_is_no_input(self, name: str, step: int) -> None:
        assert fed(CHATTER[name], Mode.VIEW, step=step) == (CHATTER[name], 0)
        assert fed(CHATTER[name], Mode.INTERACT, step=step) == (CHATTER[name], 0)

    @pytest.mark.parametrize("name", INPUT)
    def test_input_counts_and_is_left_out_for_who_looks(self, name: str, step: int) -> None:
        assert fed(INPUT[name], Mode.VIEW, step=step) == (b"", 1)
        assert fed(INPUT[name], Mode.INTERACT, step=step) == (INPUT[name], 1)

    @pytest.mark.parametrize("name", MEDDLING)
    def test_what_a_program_does_by_itself_is_left_out_and_no_input(self, name: str, step: int) -> None:
        assert fed(MEDDLING[name], Mode.VIEW, step=step) == (b"", 0)
        assert fed(MEDDLING[name], Mode.INTERACT, step=step) == (MEDDLING[name], 0)

    @pytest.mark.parametrize("name", EVERY)
    def test_what_follows_is_read_from_its_beginning(self, name: str, step: int) -> None:
        request = CHATTER["FramebufferUpdateRequest"]
        passed = EVERY[name] if name in CHATTER else b""
        out, _ = fed(EVERY[name] + request + EVERY[name] + request, Mode.VIEW, step=step)
        assert out == passed + request + passed + request


class TestWhatIsNotKnown:
    @pytest.mark.parametrize("data", UNKNOWN, ids=lambda data: data.hex())
    def test_ends_a_session_of_who_looks(self, data: bytes) -> None:
        strainer = RfbFilter(Mode.VIEW, begins=Begins.MESSAGES)
        strainer.feed(CHATTER["SetEncodings"])
        with pytest.raises(ViewerRefused, match="which is not known here"):
            strainer.feed(data + bytes(20))

    @pytest.mark.parametrize("data", UNKNOWN, ids=lambda data: data.hex())
    def test_passes_otherwise_and_from_then_on_every_byte_is_input(self, data: bytes) -> None:
        strainer = RfbFilter(Mode.INTERACT, begins=Begins.MESSAGES)
        assert strainer.feed(data + bytes(20)) == data + bytes(20)
        before = strainer.inputs
        assert before
        assert strainer.feed(CHATTER["FramebufferUpdateRequest"]) == CHATTER["FramebufferUpdateRequest"]
        assert strainer.inputs == before + 10


GREETING = b"RFB 003.008\n"


@pytest.mark.parametrize("step", [1, 1 << 30], ids=["single bytes", "whole"])
class TestTheBeginning:
    @pytest.mark.parametrize("version", [b"RFB 003.007\n", GREETING])
    @pytest.mark.parametrize("shared", [b"\0", b"\1"], ids=["exclusive", "shared"])
    def test_who_looks_throws_nobody_out(self, version: bytes, shared: bytes, step: int) -> None:
        said = version + b"\1" + shared + INPUT["KeyEvent"] + CHATTER["SetPixelFormat"]
        out, inputs = fed(said, Mode.VIEW, step=step, begins=Begins.VERSION)
        assert out == version + b"\1" + b"\1" + CHATTER["SetPixelFormat"]
        assert inputs == 1

    def test_behind_a_handshake_of_ours(self, step: int) -> None:
        said = b"\0" + INPUT["KeyEvent"] + CHATTER["SetPixelFormat"]
        assert fed(said, Mode.VIEW, step=step, begins=Begins.CLIENT_INIT) == (
            b"\1" + CHATTER["SetPixelFormat"],
            1,
        )
        assert fed(said, Mode.INTERACT, step=step, begins=Begins.CLIENT_INIT) == (said, 1)

    @pytest.mark.parametrize("security", [0, 2, 16, 18, 19, 30])
    def test_security_that_hides_what_follows(self, security: int, step: int) -> None:
        said = GREETING + bytes([security]) + bytes(30)
        with pytest.raises(ViewerRefused, match=f"security type {security},"):
            fed(said, Mode.VIEW, step=step, begins=Begins.VERSION)
        out, inputs = fed(said, Mode.INTERACT, step=step, begins=Begins.VERSION)
        assert out == said
        assert inputs

    @pytest.mark.parametrize(
        "version", [b"RFB 003.003\n", b"RFB 003.889\n", b"RFB 004.001\n", b"GET / HTTP/1", bytes(12)]
    )
    def test_versions_whose_way_on_the_server_decides(self, version: bytes, step: int) -> None:
        with pytest.raises(ViewerRefused, match=r"not RFB 3\.7 or 3\.8"):
            fed(version + b"\1\1", Mode.VIEW, step=step, begins=Begins.VERSION)
        assert fed(version + b"\1\1", Mode.INTERACT, step=step, begins=Begins.VERSION)[0] == version + b"\1\1"


@pytest.mark.parametrize("length", [1 << 31, (1 << 31) - 1], ids=["-2 GiB", "2 GiB"])
def test_an_announced_length_costs_nothing(length: int) -> None:
    strainer = RfbFilter(Mode.VIEW, begins=Begins.MESSAGES)
    tracemalloc.start()
    try:
        assert strainer.feed(struct.pack(">B3xI", 6, length)) == b""
        for _ in range(64):
            strainer.feed(bytes(1024))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 32 * 1024


def test_the_shortest_extended_clipboard_message() -> None:
    said = struct.pack(">B3xi", 6, -1) + b"\x08" + CHATTER["SetPixelFormat"]
    assert fed(said, Mode.VIEW) == (CHATTER["SetPixelFormat"], 1)


def test_mode_interact_holds_nothing_back() -> None:
    strainer = RfbFilter(Mode.INTERACT, begins=Begins.VERSION)
    for byte in GREETING + b"\1\1" + INPUT["KeyEvent"]:
        assert strainer.feed(bytes([byte])) == bytes([byte])
