"""The whole way: a link from the REST API, consolekit's proxy, the API server's websocket, a real QEMU."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from conftest import TOKEN, Account
from gateway import Gateway, serving
from machine import Machine
from virtapi import VirtApi
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


@pytest.fixture
async def gateway(api: VirtApi, account: Account, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(tmp_path, f"https://127.0.0.1:{api.port}") as running:
        yield running


async def ask(gateway: Gateway, protocol: str, type: str, server_id: str = "shop:web-1") -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(
            f"{gateway.api}/servers/{server_id}/console", json={"protocol": protocol, "type": type}
        )


async def viewer(gateway: Gateway, protocol: str, type: str) -> connect:
    link = (await ask(gateway, protocol, type)).json()["url"]
    token = urlsplit(link).fragment.removeprefix("token=") or urlsplit(link).query.removeprefix("token=")
    address = gateway.proxy.replace("http", "ws", 1)
    return connect(f"{address}/ws?token={token}", subprotocols=["binary"], proxy=None, compression=None)


class Stream:
    """A viewer's websocket as the bytes in it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._held = connection, b""

    async def read(self, count: int) -> bytes:
        while len(self._held) < count:
            self._held += await self._more()
        data, self._held = self._held[:count], self._held[count:]
        return data

    async def until(self, text: bytes) -> bytes:
        while text not in self._held:
            self._held += await self._more()
        data, self._held = self._held, b""
        return data

    async def _more(self) -> bytes:
        async with asyncio.timeout(20):
            return await self._connection.recv(decode=False)

    async def send(self, data: bytes) -> None:
        await self._connection.send(data)


async def drain(connection: ClientConnection) -> None:
    """Read to the end."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            async for _ in connection:
                pass


async def shake_hands(stream: Stream) -> tuple[int, int]:
    """Play noVNC's part (RFC 6143, 7.1 to 7.3.2); give width and height."""
    assert await stream.read(12) == b"RFB 003.008\n"
    await stream.send(b"RFB 003.008\n")
    types = await stream.read((await stream.read(1))[0])
    assert 1 in types
    await stream.send(b"\x01")
    assert await stream.read(4) == bytes(4)
    await stream.send(b"\x01")
    init = await stream.read(24)
    await stream.read(int.from_bytes(init[20:24], "big"))
    return int.from_bytes(init[0:2], "big"), int.from_bytes(init[2:4], "big")


async def test_the_screen_of_a_real_machine(gateway: Gateway, api: VirtApi, web_1: Machine) -> None:
    async with await viewer(gateway, "vnc", "novnc") as connection:
        stream = Stream(connection)
        width, height = await shake_hands(stream)
        assert width >= 640
        assert height >= 400
        await stream.send(b"\x03\x00" + bytes(4) + width.to_bytes(2, "big") + height.to_bytes(2, "big"))
        # The answer is longer than one frame of virt-handler: one message in several frames.
        update = await stream.read(16)
        assert update[:2] == b"\x00\x00"
        await stream.read(width * 100)
        # It ends without a close frame, as KubeVirt's connections do.
        await web_1.stop()
        await drain(connection)
    assert connection.close_code == 4010
    path = "/apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachineinstances/web-1/vnc"
    assert api.asked[-1] == (path, "plain.kubevirt.io")
    assert TOKEN not in "".join(gateway.log)


async def test_the_serial_line_of_a_real_machine(gateway: Gateway, web_1: Machine) -> None:
    async with await viewer(gateway, "serial", "serial") as connection:
        stream = Stream(connection)
        await web_1.go()
        await stream.until(b"Press ESC")
        await stream.send(b"\x1b")
        await stream.until(b"boot device")


async def test_another_viewer_ends_the_one_before(gateway: Gateway, web_1: Machine) -> None:
    async with await viewer(gateway, "vnc", "novnc") as first:
        await shake_hands(Stream(first))
        async with await viewer(gateway, "vnc", "novnc") as second:
            await shake_hands(Stream(second))
            await drain(first)
        assert (first.close_code, first.close_reason) == (4010, "server_taken")


async def test_a_machine_that_ended_since_the_link_was_made_is_a_conflict(
    gateway: Gateway, api: VirtApi
) -> None:
    opening = await viewer(gateway, "vnc", "novnc")
    api.instances["shop", "web-1"].phase = "Succeeded"
    with pytest.raises(InvalidStatus) as caught:
        await opening
    assert caught.value.response.status_code == 409
    assert b"server_powered_off" in caught.value.response.body


async def test_an_account_without_the_subresource_is_told_apart(gateway: Gateway, api: VirtApi) -> None:
    api.denied.add("virtualmachineinstances/vnc")
    with pytest.raises(InvalidStatus) as caught:
        await (await viewer(gateway, "vnc", "novnc"))
    assert b"hypervisor_permission" in caught.value.response.body


@pytest.mark.parametrize(
    ("server_id", "status", "code"),
    [("shop:nobody", 404, "unknown_server"), ("shop:db-1", 409, "server_powered_off")],
)
async def test_there_is_no_link_to_what_is_not_there(
    gateway: Gateway, api: VirtApi, server_id: str, status: int, code: str
) -> None:
    api.machines.add(("shop", "db-1"))
    answer = await ask(gateway, "vnc", "novnc", server_id)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
