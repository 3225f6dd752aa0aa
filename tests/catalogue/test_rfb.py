"""Catalogue, case 40, and what of 33 and 39 is RFB: hostile servers and viewers of the VNC provider."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from gateway import target
from hostile import BINARY, Answer, Viewer, ask, frame, house, silence, viewer

from consolekit.core.address import Address
from consolekit.core.types import Endpoint, Secret, TlsPolicy
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Serve = Callable[[Reader, Writer], Awaitable[None]]
PASSWORD = "canary-p"
INIT = struct.pack(">HH16xI", 800, 600, 4) + b"name"


def provider(endpoint: Endpoint, **settings: object) -> VncProvider:
    return VncProvider(servers={"demo": VncServer(address=Address(endpoint.host, endpoint.port), **settings)})


def says(*parts: bytes | int) -> Serve:
    """A server that plays a fixed part: bytes are said, numbers are how much is waited for."""

    async def serve(reader: Reader, writer: Writer) -> None:
        for part in parts:
            if isinstance(part, int):
                await reader.readexactly(part)
            else:
                writer.write(part)
                await writer.drain()
        await silence(reader, writer)

    return serve


@asynccontextmanager
async def opened(serve: Serve) -> AsyncIterator[Viewer]:
    async with target(serve) as endpoint, house(provider(endpoint)) as gateway, viewer(gateway) as browser:
        yield browser


async def refusal(serve: Serve, **settings: object) -> Answer:
    async with target(serve) as endpoint, house(provider(endpoint, **settings)) as gateway:
        return await ask(gateway, gateway.handshake(await gateway.token()))


V33, V37, V38 = b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"


@pytest.mark.parametrize(
    ("serve", "spoken"),
    [
        (says(V33, 12, struct.pack(">I", 1), 1, INIT), V33),
        (says(b"RFB 003.005\n", 12, struct.pack(">I", 1), 1, INIT), V33),
        (says(V37, 12, b"\x01\x01", 1, 1, INIT), V37),
        (says(V38, 12, b"\x01\x01", 1, bytes(4), 1, INIT), V38),
        (says(b"RFB 003.889\n", 12, b"\x01\x01", 1, bytes(4), 1, INIT), V38),
        (says(V38, 12, b"\xff" + bytes(range(1, 256)), 1, bytes(4), 1, INIT), V38),  # 255 types
    ],
    ids=["3.3", "3.5", "3.7", "3.8", "3.889", "255 types"],
)
async def test_case_40_every_version_of_a_server_is_3_8_to_the_viewer(serve, spoken):
    heard: list[bytes] = []

    async def listening(reader: Reader, writer: Writer) -> None:
        real = reader.readexactly

        async def noted(size: int) -> bytes:
            data = await real(size)
            heard.append(data)
            return data

        reader.readexactly = noted  # type: ignore[method-assign]
        await serve(reader, writer)

    async with opened(listening) as browser:
        assert await browser.bytes(12) == V38
        await browser.send(frame(BINARY, V38))
        assert await browser.bytes(2) == b"\x01\x01"
        await browser.send(frame(BINARY, b"\x01"))
        assert await browser.bytes(4) == bytes(4)
        await browser.send(frame(BINARY, b"\x01"))
        assert await browser.bytes(len(INIT)) == INIT
        assert heard[0] == spoken


@pytest.mark.parametrize("version", [V33, V37, b"RFB 003.005\n", b"RFB 003.889\n"])
async def test_case_40_a_viewer_may_speak_an_older_version(version):
    serve = says(V38, 12, b"\x01\x01", 1, bytes(4), 1, INIT)
    async with opened(serve) as browser:
        assert await browser.bytes(12) == V38
        await browser.send(frame(BINARY, version))
        if version in (V33, b"RFB 003.005\n"):
            assert await browser.bytes(4) == struct.pack(">I", 1)
        else:
            assert await browser.bytes(2) == b"\x01\x01"
            await browser.send(frame(BINARY, b"\x01"))
            if version == b"RFB 003.889\n":
                assert await browser.bytes(4) == bytes(4)
        await browser.send(frame(BINARY, b"\x01"))
        assert await browser.bytes(len(INIT)) == INIT


@pytest.mark.parametrize(
    "banner",
    [b"RFB 004.000\n", b"RFB 004.001\n", b"RFB 000.000\n", b"RFB 3.8\n\0\0\0\0", b"RFB 003.008\r",
     b"RFB 00x.008\n", b"rfb 003.008\n", b"RFB -03.008\n"],
    ids=range(8),
)  # fmt: skip
async def test_case_40_no_known_version_is_502(banner):
    answer = await refusal(says(banner))
    assert (answer.status, answer.code) == (502, "handshake_failed")


TOO_LONG = struct.pack(">I", 2**32 - 1)


NOTHING_GOOD = {
    "no types, reason of 4 GiB": (says(V38, 12, b"\x00" + TOO_LONG + b"r" * 300), "handshake_failed"),
    "3.3, reason of 4 GiB": (says(V33, 12, bytes(4) + TOO_LONG + b"r" * 300), "handshake_failed"),
    "result, reason of 4 GiB": (
        says(V38, 12, b"\x01\x01", 1, struct.pack(">I", 1) + TOO_LONG + b"r" * 300), "handshake_failed",
    ),
    "a reason that never comes": (says(V38, 12, b"\x00" + TOO_LONG), "handshake_timeout"),
    "a reason": (says(V38, 12, b"\x00" + struct.pack(">I", 3) + b"why"), "handshake_failed"),
    "an empty reason": (says(V38, 12, b"\x00" + bytes(4)), "handshake_failed"),
    "type 0": (says(V38, 12, b"\x01\x00"), "no_common_security"),
    "password wanted": (says(V38, 12, b"\x01\x02"), "no_common_security"),
    "254 types, VeNCrypt, and silence": (says(V38, 12, b"\xfe" + bytes(range(2, 256))), "handshake_timeout"),
    "unknown types": (says(V38, 12, b"\x02\xfe\xff"), "no_common_security"),
    "3.3, password": (says(V33, 12, struct.pack(">I", 2)), "no_common_security"),
    "3.3, type 2^32-1": (says(V33, 12, struct.pack(">I", 0xFFFFFFFF)), "no_common_security"),
    "unknown result": (says(V38, 12, b"\x01\x01", 1, struct.pack(">I", 7) + bytes(4)), "handshake_failed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOTHING_GOOD)
async def test_case_40_servers_that_offer_nothing_good(kind):
    serve, code = NOTHING_GOOD[kind]
    answer = await refusal(serve)
    assert answer.code == code
    assert answer.status == (504 if code == "handshake_timeout" else 502)
    assert b"rrr" not in answer.body


async def test_case_40_a_server_that_mirrors_the_password_in_its_reason(diary):
    """The challenge's answer proves the password; a reason may say it back, and no log will."""
    reason = f"wrong password {PASSWORD}\n\x1b[31m".encode()
    serve = says(
        V38, 12, b"\x01\x02", 1, bytes(16), 16, struct.pack(">II", 1, len(reason)) + reason
    )  # fmt: skip
    answer = await refusal(serve, password=Secret(PASSWORD))
    assert (answer.status, answer.code) == (502, "authentication_rejected")
    assert any("wrong password ***" in text for text in diary.texts)
    assert not any(PASSWORD in text or "\x1b" in text for text in diary.texts)


@pytest.mark.parametrize(
    "serve",
    [says(V38, 12, b"\x01\x01"), says(V38, 12, b"\x02\x01\x13", 1, b"\x00\x01"),
     says(V33, 12, struct.pack(">I", 1))],
    ids=["None", "VeNCrypt 0.1", "3.3"],
)  # fmt: skip
@pytest.mark.parametrize("settings", [{"password": Secret(PASSWORD)}, {"tls": TlsPolicy(server_name="x")}])
async def test_case_40_what_is_demanded_is_never_traded_for_less(serve, settings):
    answer = await refusal(serve, **settings)
    assert answer.status == 502
    assert answer.code in ("no_common_security", "handshake_failed")


@pytest.mark.parametrize(
    "sent",
    [b"\x02", b"\x00", b"\xff", b"\x13", b"\x10"],
)
async def test_case_40_a_viewer_that_picks_what_was_not_offered_is_closed(sent):
    serve = says(V38, 12, b"\x01\x01", 1, bytes(4))
    async with opened(serve) as browser:
        assert await browser.bytes(12) == V38
        await browser.send(frame(BINARY, V38 + sent))
        assert await browser.close_code() == 4006


@pytest.mark.parametrize("version", [b"RFB 004.000\n", b"GET / HTTP/1", bytes(12), b"RFB 003.008\r"])
async def test_case_40_a_viewer_that_is_none_is_closed(version):
    serve = says(V38, 12, b"\x01\x01", 1, bytes(4))
    async with opened(serve) as browser:
        await browser.send(frame(BINARY, version))
        assert await browser.close_code() == 4006
