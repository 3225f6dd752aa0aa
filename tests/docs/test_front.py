"""The HAProxy configuration that the documentation shows: a real one, with a path prefix and a console."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from parts import require
from tornado.httpclient import AsyncHTTPClient
from websockets.asyncio.client import connect

from consolekit import Caller
from consolekit.cli.server import Server
from consolekit.config.build import build_kit
from consolekit.config.load import Loaded
from consolekit.config.model import AdminConfig, Config, ProviderConfig, ProxyConfig, TokensConfig
from consolekit.core.address import Address
from consolekit.testing.rfbserver import RfbServer

CONFIG = Path(__file__).parent.parent.parent / "examples" / "haproxy.cfg"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def haproxy(program: str, front: socket.socket, consolekit: str) -> AsyncIterator[None]:
    """It gets its listening socket from us, so that connections wait for it and nobody for its start."""
    env = {**os.environ, "FRONT": f"fd@{front.fileno()}", "CONSOLEKIT": consolekit}
    process = await asyncio.create_subprocess_exec(
        program, "-db", "-f", str(CONFIG), env=env, pass_fds=[front.fileno()]
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_a_console_through_haproxy_with_a_prefix() -> None:
    program = require("haproxy", "haproxy")
    own = free_port()
    async with RfbServer() as screen:
        front = socket.create_server(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{front.getsockname()[1]}"
        base = f"{origin}/vm"
        config = Config(
            proxy=ProxyConfig(listen=Address("127.0.0.1", own), base_url=base),
            admin=AdminConfig(listen=None),
            tokens=TokensConfig(store="memory"),
            providers={
                "lab": ProviderConfig(use="vnc", options={"servers": {"a": {"address": screen.address}}})
            },
        )
        kit = build_kit(Loaded(config=config))
        server = Server(config, kit, api=False)
        await server.start()
        try:
            async with haproxy(program, front, f"127.0.0.1:{own}"):
                page = await AsyncHTTPClient().fetch(f"{base}/console/")
                assert b"<title>Console</title>" in page.body
                link = await kit.create("a", {"protocol": "vnc", "type": "novnc"}, caller=Caller(name="test"))
                found = re.fullmatch(rf"{re.escape(base)}/console/#token=([^&]+)&.*", link.url.reveal())
                assert found
                protocols = ["binary", f"consolekit.token.{found[1]}"]
                url = f"{base}/ws".replace("http", "ws")
                async with connect(url, subprotocols=protocols, origin=origin) as viewer:
                    assert await viewer.recv() == b"RFB 003.008\n"
        finally:
            await server.aclose()
            front.close()
