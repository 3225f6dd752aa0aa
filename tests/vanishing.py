"""Test support, run in a network namespace of its own: a console whose viewer's link goes down.

Says ``open``, ``down``, ``reaped`` (the session has ended) and ``told`` (its server has been told). Its
argument: seconds between pings, and for their answers.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from gateway import PipeProvider, running
from hostile import until

from consolekit.core.types import Endpoint, Transport
from consolekit.proxy.relay import RelaySettings


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


async def main(seconds: float) -> None:
    ip("link", "set", "lo", "up")
    told = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        told.set()
        writer.close()

    server = await asyncio.start_unix_server(waits, "\0consolekit-vanishing")  # no link can take it away
    endpoint = Endpoint(transport=Transport.UNIX, path="\0consolekit-vanishing")
    relay = RelaySettings(ping_seconds=seconds, pong_seconds=seconds)
    async with running(PipeProvider({"demo": endpoint}), relay=relay) as gateway:
        _, writer = await gateway.raw()
        writer.write(gateway.handshake(await gateway.token()))
        await until(lambda: len(gateway.proxy.sessions), "the session")
        print("open", flush=True)
        ip("link", "set", "lo", "down")
        print("down", flush=True)
        async with asyncio.timeout(4 * seconds + 20):
            while gateway.proxy.sessions:
                await asyncio.sleep(0.01)
        print("reaped", flush=True)
        await told.wait()
        print("told", flush=True)
        writer.transport.abort()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if sys.argv[1:] else 1.0))
