"""testing.serialline behaves as QEMU's serial line does; where they can, both are asked the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypervisors import qemu

from consolekit.testing.serialline import SerialLine

Connected = Callable[[int], bool]


@pytest.mark.parametrize("form", ["tcp", "v6", "unix"])
async def test_it_echoes_and_asks_for_a_login(form: str, tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    made = {"tcp": SerialLine(), "v6": SerialLine("::1"), "unix": SerialLine(path=path)}[form]
    async with made as line:
        if form == "unix":
            assert line.address == f"unix:{path}"
            reader, writer = await asyncio.open_unix_connection(path)
        else:
            host, _, port = line.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"hello\r")
        assert await reader.readuntil(b"login: ") == b"hello\r\nlab login: "
        assert (bytes(line.typed), line.calls, line.connected) == (b"hello\r", 1, True)
        assert line.say(b"kernel: up\r\n")
        assert await reader.readline() == b"kernel: up\r\n"
        line.hang_up()
        assert await reader.read() == b""
        writer.close()
    assert not path.exists()


async def test_what_nobody_hears_is_lost() -> None:
    async with SerialLine() as line:
        assert not line.say(b"lost")
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        await line.until(lambda: line.connected)
        line.say(b"heard")
        assert await reader.readexactly(5) == b"heard"
        writer.close()
        await line.until(lambda: not line.connected)
        assert not line.say(b"lost too")


async def test_it_ends_while_somebody_is_connected() -> None:
    async with SerialLine() as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        await line.until(lambda: line.connected)
    (end,) = await asyncio.gather(reader.read(), return_exceptions=True)
    assert end == b"" or isinstance(end, ConnectionError)
    writer.close()


@asynccontextmanager
async def ours() -> AsyncIterator[tuple[int, Connected]]:
    async with SerialLine() as line:
        peer = lambda: line._caller and line._caller.get_extra_info("peername")[1]  # noqa: E731
        yield line.port, lambda port: peer() == port


@asynccontextmanager
async def qemus() -> AsyncIterator[tuple[int, Connected]]:
    chardev = "socket,id=line,host=127.0.0.1,port=0,server=on,wait=off"
    board = ("-machine", "pc,graphics=off", "-S", "-m", "32")  # without a UART nobody reads the line
    with qemu(*board, "-chardev", chardev, "-serial", "chardev:line") as machine:

        def device() -> str:
            return next(d["filename"] for d in machine.qmp("query-chardev") if d["label"] == "line")

        listens = int(device().partition(",")[0].rpartition(":")[2])
        yield listens, lambda port: device().endswith(f"<-> 127.0.0.1:{port}")


@pytest.mark.external
@pytest.mark.parametrize("peer", [ours, qemus], ids=["ours", "qemu"])
async def test_one_caller_at_a_time_and_the_next_waits(peer: Callable[[], object]) -> None:
    async with asyncio.timeout(60), peer() as (port, connected):  # type: ignore[attr-defined]  # either of two
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        mine, others = [writer.get_extra_info("sockname")[1] for _, writer in (first, second)]
        await until(lambda: connected(mine))
        assert not connected(others)
        first[1].close()
        await until(lambda: connected(others))
        second[1].close()
        await until(lambda: not connected(others))


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)
