"""Catalogue, cases 22 to 29: what a viewer with a good token sends, and should not."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from gateway import Gateway, PipeProvider, echo, target
from hostile import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    QUICK,
    TEXT,
    Viewer,
    ask,
    console,
    frame,
    house,
    resident,
    silence,
    until,
    viewer,
    wire,
)

from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.testing.rfbscene import HEIGHT, WIDTH
from consolekit.testing.rfbserver import RfbServer

MOST = QUICK["relay"].max_message


@asynccontextmanager
async def relaying() -> AsyncIterator[Gateway]:
    """A console whose bytes go through from the first."""
    async with console(echo) as gateway:
        yield gateway


@asynccontextmanager
async def greeting() -> AsyncIterator[Gateway]:
    """A console that waits for the viewer's part of the RFB handshake."""
    async with RfbServer() as server:
        provider = VncProvider(servers={"demo": VncServer(address=server.address)})
        async with house(provider) as gateway:
            yield gateway


STAGES = pytest.mark.parametrize("stage", [relaying, greeting])


async def close_code(stage, *frames: bytes) -> int:
    """The code that the gateway closes with; and it does close, and another session goes on."""
    async with stage() as gateway:
        async with viewer(gateway) as other, viewer(gateway) as bad:
            await bad.send(b"".join(frames))
            code = await bad.close_code()
            await bad.end()
            if stage is relaying:
                await other.send(frame(BINARY, b"still here"))
                assert await other.bytes(10) == b"still here"
        return code


BROKEN = {
    "unmasked": frame(BINARY, b"x", masked=False),
    "unmasked and empty": frame(BINARY, b"", masked=False),
    "unmasked ping": frame(PING, b"x", masked=False),
    **{f"rsv {rsv}": frame(BINARY, b"x", rsv=rsv) for rsv in (1, 2, 4, 7)},
    "rsv 1 on a ping": frame(PING, b"x", rsv=4),
    **{f"opcode {opcode}": frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "16 bits for 5": frame(BINARY, b"12345", length=b"\x7e\x00\x05"),
    "16 bits for 125": frame(BINARY, bytes(125), length=b"\x7e\x00\x7d"),
    "64 bits for 5": frame(BINARY, b"12345", length=b"\x7f" + (5).to_bytes(8, "big")),
    "64 bits for 65535": frame(BINARY, bytes(65535), length=b"\x7f" + (65535).to_bytes(8, "big")),
}


@STAGES
@pytest.mark.parametrize("kind", BROKEN)
async def test_case_22_broken_frames_are_1002(stage, kind):
    assert await close_code(stage, BROKEN[kind]) == 1002


MISPLACED = {
    "control of 126 bytes": [frame(PING, bytes(126))],
    "close of 126 bytes": [frame(CLOSE, b"\x03\xe8" + bytes(124))],
    "fragmented ping": [frame(PING, b"x", fin=False)],
    "fragmented close": [frame(CLOSE, b"\x03\xe8", fin=False)],
    "orphan continuation": [frame(CONTINUATION, b"x")],
    "orphan, not final": [frame(CONTINUATION, b"x", fin=False)],
    "a message inside another": [frame(BINARY, b"x", fin=False), frame(BINARY, b"y")],
    "a continuation too many": [
        frame(BINARY, b"x", fin=False), frame(CONTINUATION, b"y"), frame(CONTINUATION, b"z"),
    ],
}  # fmt: skip


@STAGES
@pytest.mark.parametrize("kind", MISPLACED)
async def test_case_23_misplaced_frames_are_1002(stage, kind):
    assert await close_code(stage, *MISPLACED[kind]) == 1002


async def test_case_23_control_frames_between_fragments_are_no_fault():
    async with relaying() as gateway, viewer(gateway) as good:
        pieces = [frame(BINARY, b"one ", fin=False), frame(PING, b"p"), frame(CONTINUATION, b"two")]
        await good.send(b"".join(pieces))
        seen: dict[int, bytes] = {}
        while len(seen.get(BINARY, b"")) < 7 or PONG not in seen:
            opcode, payload = await good.frame()
            seen[opcode] = seen.get(opcode, b"") + payload
        assert seen == {BINARY: b"one two", PONG: b"p"}


def announced(size: int) -> bytes:
    """A header that announces so much, and nothing behind it."""
    return frame(BINARY, b"", length=b"\x7f" + size.to_bytes(8, "big"))


HUGE = {
    "2^63": ([announced(2**63)], 1002),  # RFC 6455, 5.2: the top bit must be 0
    "2^64-1": ([announced(2**64 - 1)], 1002),
    "2^63-1": ([announced(2**63 - 1)], 1009),
    "one too many": ([announced(MOST + 1)], 1009),
    "a fragment too many": ([frame(BINARY, b"x", fin=False), announced(MOST)[:1], b""], 1009),
}
HUGE["a fragment too many"][0][1] = b"\x80" + announced(MOST)[1:]


@STAGES
@pytest.mark.parametrize("kind", HUGE)
async def test_case_24_announced_sizes_are_judged_by_the_header(stage, kind):
    frames, expected = HUGE[kind]
    tracemalloc.start()
    try:
        assert await close_code(stage, *frames) == expected
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


async def test_case_24_endless_fragments_are_1009():
    async with (
        console(silence) as gateway,
        viewer(gateway) as endless,
    ):
        before = resident()
        await endless.send(frame(BINARY, bytes(65536), fin=False))
        for _ in range(MOST // 65536):
            await endless.send(frame(CONTINUATION, bytes(65536), fin=False))
        assert await endless.close_code() == 1009
        assert resident() - before < 8 * 2**20


async def test_case_24_the_largest_message_passes():
    data = bytes(range(256)) * (MOST // 256)
    async with relaying() as gateway, viewer(gateway) as good:
        sending = asyncio.get_running_loop().create_task(good.send(frame(BINARY, data)))
        assert await good.bytes(MOST) == data
        await sending


CLOSES = {
    **{str(code): (code.to_bytes(2, "big"), 1002)
       for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)},
    "one byte": (b"\x03", 1002),
    "bad UTF-8": (b"\x03\xe8\xff\xfe", 1002),
    "cut UTF-8": (b"\x03\xe8\xe2\x82", 1002),
    "none": (b"", 1005),
    **{str(code): (code.to_bytes(2, "big") + b"why", code) for code in (1000, 1001, 3000, 4999)},
}  # fmt: skip


@STAGES
@pytest.mark.parametrize("kind", CLOSES)
async def test_case_25_close_frames(stage, kind):
    payload, expected = CLOSES[kind]
    assert await close_code(stage, frame(CLOSE, payload)) == expected


async def test_case_25_nothing_counts_after_a_close():
    heard = bytearray()

    async def listen(reader, writer):
        while data := await reader.read(65536):
            heard.extend(data)

    async with (
        console(listen) as gateway,
        viewer(gateway) as rude,
    ):
        goodbye = frame(CLOSE, b"\x03\xe8")
        await rude.send(frame(BINARY, b"before") + goodbye + frame(BINARY, b"after") + goodbye)
        assert await rude.close_code() == 1000
        await rude.send(frame(BINARY, b"later") * 1000)
        await rude.end()
        await gateway.until_no_sessions()
    assert heard == b"before"


@STAGES
@pytest.mark.parametrize("payload", [b"text", b"", b"\xff\xfe", b"\xed\xa0\x80"])
async def test_case_26_text_is_1003_whatever_is_in_it(stage, payload):
    assert await close_code(stage, frame(TEXT, payload)) == 1003
    assert await close_code(stage, frame(TEXT, payload, fin=False)) == 1003


SUBPROTOCOLS = [
    ("", 101, None),
    ("binary", 101, "binary"),
    ("base64, binary", 101, "binary"),
    ("binary, base64, v1.example", 101, "binary"),
    ("base64", 400, None),
    ("v1.example", 400, None),
    ("BINARY", 400, None),
]


@pytest.mark.parametrize(("offer", "expected", "selected"), SUBPROTOCOLS)
async def test_case_27_subprotocols(offer, expected, selected):
    async with relaying() as gateway:
        token = await gateway.token()
        hello = gateway.handshake("", Sec_WebSocket_Protocol=offer)
        hello = hello.replace(b"GET /ws ", f"GET /ws?token={token} ".encode(), 1)
        async with wire(gateway) as connection:
            await connection.send(hello)
            answer = await connection.answer()
            assert answer.status == expected
            assert answer.headers.get("sec-websocket-protocol") == selected
        if expected == 400:
            async with gateway.open(token):  # not spent
                pass


async def test_case_27_the_token_is_never_selected_as_a_subprotocol():
    async with relaying() as gateway:
        token = await gateway.token()
        hello = gateway.handshake("", Sec_WebSocket_Protocol=f"consolekit.token.{token}")
        answer = await ask(gateway, hello)
        assert answer.status == 400
        assert token not in str(answer)


EXTENSIONS = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=99",
    "permessage-deflate; server_max_window_bits=",
    "permessage-deflate; client_max_window_bits=8; client_max_window_bits=9",
    "permessage-deflate; unknown",
    "x-webkit-deflate-frame, permessage-deflate",
    ";;,,==",
]


@pytest.mark.parametrize("extensions", EXTENSIONS)
async def test_case_27_no_extension_is_agreed_on(extensions):
    async with relaying() as gateway, wire(gateway) as connection:
        hello = gateway.handshake(await gateway.token(), Sec_WebSocket_Extensions=extensions)
        await connection.send(hello + frame(BINARY, b"plain"))
        answer = await connection.answer()
        assert answer.status == 101
        assert "sec-websocket-extensions" not in answer.headers
        browser = Viewer(connection.socket)
        browser.received = connection.received
        assert await browser.bytes(5) == b"plain"


FLOODS = {
    "pings": frame(PING, b"x" * 125) * 500,
    "empty pings": frame(PING) * 10_000,
    "pongs": frame(PONG, b"x" * 125) * 500,
    "empty frames": frame(BINARY) * 10_000,
    "fragments of one byte": frame(CONTINUATION, b"x", fin=False) * 8_000,
    "empty fragments": frame(CONTINUATION, fin=False) * 10_000,
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_case_28_a_flood_from_one_who_never_reads_costs_no_memory(kind):
    async with (
        relaying() as gateway,
        viewer(gateway) as other,
        viewer(gateway, receive_buffer=4096) as flooder,
    ):
        if "fragments" in kind:
            await flooder.send(frame(BINARY, b"", fin=False))
        await flooder.send(FLOODS[kind])
        before = resident()
        sending = asyncio.get_running_loop().create_task(_send_often(flooder, FLOODS[kind], 100))
        for number in range(300):  # somebody else's console answers meanwhile
            question = b"%06d" % number
            await other.send(frame(BINARY, question))
            assert await other.bytes(6) == question
            if sending.done():
                break
        assert resident() - before < 8 * 2**20
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send_often(flooder: Viewer, data: bytes, times: int) -> None:
    for _ in range(times):
        await flooder.send(data)


async def test_case_28_a_flood_of_pings_is_answered_with_the_newest():
    async with relaying() as gateway, viewer(gateway) as flooder:
        await flooder.send(b"".join(frame(PING, b"%d" % number) for number in range(1000)))
        answers = []
        while not answers or answers[-1] != b"999":
            opcode, payload = await flooder.frame()
            assert opcode == PONG
            answers.append(payload)
        assert answers == sorted(answers, key=int)


DATA = bytes(range(256)) * 300


async def test_case_29_data_in_the_handshakes_segment_is_delivered_once_and_in_order():
    async with relaying() as gateway:
        behind = frame(BINARY, b"first ") + frame(PING, b"?") + frame(BINARY, b"second")
        async with viewer(gateway, behind=behind) as eager:
            await eager.send(frame(BINARY, b" third"))
            data = b""
            while len(data) < 18:
                opcode, payload = await eager.frame()
                data += payload if opcode == BINARY else b""
            assert data == b"first second third"


async def test_case_29_data_sent_while_the_console_is_being_opened():
    class Slow(PipeProvider):
        async def open(self, request):
            await opening.wait()
            return await super().open(request)

    opening = asyncio.Event()
    async with target(echo) as endpoint, house(Slow({"demo": endpoint})) as gateway:
        hello = gateway.handshake(await gateway.token())
        async with wire(gateway) as connection:
            eager = Viewer(connection.socket)
            await eager.send(hello + frame(BINARY, DATA[:100]))
            sending = asyncio.get_running_loop().create_task(eager.send(frame(BINARY, DATA[100:])))
            await until(lambda: len(gateway.proxy.sessions), "the session")
            opening.set()
            assert (await eager.answer()).status == 101
            assert await eager.bytes(len(DATA)) == DATA
            await sending


async def test_case_29_a_viewer_that_answers_before_it_is_asked():
    """The whole RFB handshake of a viewer in one segment with its request."""
    async with greeting() as gateway:
        behind = frame(BINARY, b"RFB 003.008\n") + frame(BINARY, b"\x01\x01")
        async with viewer(gateway, behind=behind) as eager:
            greeted = await eager.bytes(12 + 2 + 4 + 24)
            assert greeted[:18] == b"RFB 003.008\n\x01\x01\x00\x00\x00\x00"
            assert greeted[18:22] == WIDTH.to_bytes(2, "big") + HEIGHT.to_bytes(2, "big")


async def test_case_29_a_close_in_the_handshakes_segment():
    async with relaying() as gateway, viewer(gateway, behind=frame(CLOSE, b"\x03\xe8")) as brief:
        assert await brief.close_code() == 1000


async def test_case_29_a_bad_frame_in_the_handshakes_segment():
    async with relaying() as gateway, viewer(gateway, behind=frame(BINARY, b"x", masked=False)) as bad:
        assert await bad.close_code() == 1002


async def test_a_viewer_that_says_nothing_in_its_part_of_the_handshake_is_closed_in_time():
    async with greeting() as gateway, viewer(gateway) as mute:
        assert await mute.close_code() == 4006


async def test_a_viewer_that_floods_pings_in_its_part_of_the_handshake_is_closed_in_time():
    async with greeting() as gateway, viewer(gateway, receive_buffer=4096) as flooder:
        before = resident()
        sending = asyncio.get_running_loop().create_task(
            _send_often(flooder, frame(PING, b"x" * 125) * 500, 1000)
        )
        await gateway.until_no_sessions()
        await sending
        assert resident() - before < 8 * 2**20
