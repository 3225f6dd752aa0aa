"""Catalogue, case 55: HAProxy and nginx in front: TLS ended there, a path prefix, buffers, deadlines."""

from __future__ import annotations

import asyncio
import re
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trustme
from dbservers import free_port
from gateway import CALLER
from parts import require
from tornado.httpclient import AsyncHTTPClient
from vmwaresite import SIZE, log_in
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from consolekit import ConsoleKit
from consolekit.cli.server import Server
from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.testing.rfbserver import RfbServer

PATIENCE = 20.0
WHOLE = struct.pack(">BBHHHH", 3, 0, 0, 0, 800, 600)  # FramebufferUpdateRequest
SECONDS = 3  # after so long without a byte the front hangs up; consolekit must have pinged by then

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    timeout tunnel {seconds}s
frontend f
    bind {bind} ssl crt {pem}
    default_backend b
backend b
    server one 127.0.0.1:{port}
"""

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 200; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{front} ssl;
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        location /vm/ {{
            proxy_pass http://127.0.0.1:{port};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering on;
            proxy_request_buffering on;
            proxy_read_timeout {seconds}s;
            proxy_send_timeout {seconds}s;
        }}
    }}
}}
"""

CONFIG = """
[proxy]
listen = "127.0.0.1:{port}"
base_url = "{base}"
trusted_proxies = ["127.0.0.0/8"]
[admin]
listen = ""
[tokens]
store = "memory"
[timeouts]
ping_seconds = {ping}
pong_seconds = 5
[providers.lab]
use = "vnc"
[providers.lab.servers]
a = {{ address = "{screen}" }}
"""


@attrs.define
class Front:
    """A front that runs, and what stands behind it."""

    kit: ConsoleKit
    base: str
    tls: ssl.SSLContext
    screen: RfbServer

    async def open(self) -> ClientConnection:
        link = await self.kit.create("a", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
        found = re.fullmatch(rf"{re.escape(self.base)}/console/#token=([^&]+)&.*", link.url.reveal())
        assert found
        offers = ["binary", f"consolekit.token.{found[1]}"]
        return await connect(
            f"wss{self.base.removeprefix('https')}/ws",
            subprotocols=offers,
            origin=self.base.removesuffix("/vm"),
            ssl=self.tls,
            proxy=None,
            ping_interval=None,
        )


@pytest.fixture(params=["haproxy", "nginx"])
def kind(request: pytest.FixtureRequest) -> str:
    require(request.param, {"nginx": "nginx-light"}.get(request.param, request.param))
    name: str = request.param
    return name


async def _begin(kind: str, folder: Path, pem: Path, front: int, port: int) -> asyncio.subprocess.Process:
    text = HAPROXY if kind == "haproxy" else NGINX
    config = folder / "front.conf"
    values = {"folder": folder, "pem": pem, "front": front, "port": port, "seconds": SECONDS}
    config.write_text(text.format(bind=f"127.0.0.1:{front}", **values))
    words = ["-db", "-f", str(config)] if kind == "haproxy" else ["-c", str(config), "-p", str(folder)]
    program = require(kind, kind)
    with (folder / "front.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(program, *words, stdout=log, stderr=log)


async def _serves(process: asyncio.subprocess.Process, front: Front, log: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert process.returncode is None, await asyncio.to_thread(log.read_text)
            try:
                page = await AsyncHTTPClient().fetch(f"{front.base}/console/", ssl_options=front.tls)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                assert b"<title>Console</title>" in page.body
                return


@asynccontextmanager
async def behind(kind: str, folder: Path, *, ping: float) -> AsyncIterator[Front]:
    """Run a front with a certificate, and a gateway behind it in clear."""
    ca, port, own = trustme.CA(), free_port(), free_port()
    pem = folder / "front.pem"
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    tls = ssl.create_default_context()
    ca.configure_trust(tls)
    async with AsyncExitStack() as stack:
        screen = await stack.enter_async_context(RfbServer())
        base = f"https://localhost:{port}/vm"
        config = folder / "consolekit.toml"
        config.write_text(CONFIG.format(port=own, base=base, ping=ping, screen=screen.address))
        loaded = load(config, env={})
        kit = build_kit(loaded)
        server = Server(loaded.config, kit, api=False)
        await server.start()
        stack.push_async_callback(server.aclose)
        process = await _begin(kind, folder, pem, port, own)

        async def end() -> None:
            if process.returncode is None:
                process.terminate()
            await process.wait()

        stack.push_async_callback(end)
        front = Front(kit=kit, base=base, tls=tls, screen=screen)
        await _serves(process, front, folder / "front.log")
        yield front


async def test_case_55_a_console_behind_a_front_outlives_its_deadlines(kind: str, tmp_path: Path) -> None:
    async with behind(kind, tmp_path, ping=1) as front, await front.open() as viewer:
        assert await log_in(viewer) == SIZE
        await asyncio.sleep(SECONDS + 1.5)  # quiet for longer than the front allows
        await viewer.send(WHOLE)
        assert (await viewer.recv())[:1] == b"\0"  # FramebufferUpdate


async def test_case_55_without_pings_the_front_would_have_ended_it(tmp_path: Path) -> None:
    require("haproxy", "haproxy")
    async with behind("haproxy", tmp_path, ping=600) as front:
        viewer = await front.open()
        assert await log_in(viewer) == SIZE
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(PATIENCE):
                await viewer.recv()
