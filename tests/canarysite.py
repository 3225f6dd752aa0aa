"""Test support: one process that serves as an operator has configured it, full of secrets.

Importable as ``canarysite``. Every validator is configured beside our own tokens; the console's server wants
a password, and so do the token service, Nova, the callers of the API, and the store where it has one. The
addresses are loopback's; everything goes through the real listeners.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import novastub
import tokenservice
from canary import Hunt
from canarystores import STORES, Kept
from gateway import Gateway, resume_key
from hostile import PATIENCE, wire
from sealing import AUDIENCE, claims, key_file, seal
from served import COMMAND
from vmwaresite import log_in
from websockets.asyncio.client import ClientConnection

from consolekit.api.callers import hash_of, new_key
from consolekit.cli.server import Server
from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.core.types import Secret, SystemClock
from consolekit.testing.rfbserver import RfbServer

KINDS = ("own", "sealed", "file", "http", "nova")
_CONFIG = """
[proxy]
listen = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
[api.keys.portal]
sha256 = "{api_key}"
[admin]
listen = "127.0.0.1:0"
[tokens]
{tokens}
[providers.lab]
use = "vnc"
[providers.lab.servers]
demo = {{ address = "{address}", password = "{password}" }}
locked = {{ address = "{address}", password = "{wrong}" }}
[providers.lab.adopt]
password = "{password}"
[validators.sealed]
use = "sealed"
keys_file = "{folder}/keys.json"
audience = "{audience}"
provider = "lab"
[validators.file]
use = "file"
path = "{folder}/tokens"
provider = "lab"
[validators.site]
use = "http"
url = "{service}"
secret_file = "{folder}/service-secret"
provider = "lab"
[validators.cloud]
use = "nova"
auth = {nova}
vnc_provider = "lab"
"""


@attrs.define
class Site:
    """All of it, running; what it says goes to the hunt."""

    hunt: Hunt
    kept: Kept
    gateway: Gateway
    server: Server
    config: Path
    port: int
    nova: novastub.NovaStub
    service: tokenservice.TokenService
    sealing_key: Any
    api_key: Secret

    # ---- tokens

    async def token(self, kind: str) -> str:
        """A fresh token of a kind, noted as a secret."""
        return self.hunt.secret(self._name(f"{kind} token"), await getattr(self, f"_{kind}")())

    def _name(self, what: str) -> str:
        return f"{what} {1 + sum(name.startswith(what) for name in self.hunt.secrets)}"

    async def _own(self) -> str:
        answer = await self.api("POST", "/servers/demo/console", self.wish(), hear=False)
        url = json.loads(answer.partition(b"\r\n\r\n")[2])["url"]
        self.hunt.hear("the headers of the API's answer with a link", answer.partition(b"\r\n\r\n")[0])
        return str(url).partition("token=")[2].partition("&")[0]

    def wish(self) -> dict[str, object]:
        return {"protocol": "vnc", "type": "novnc", "subject": "alice"}

    async def _sealed(self) -> str:
        place = {"server": "demo", "subject": "bob"}
        return seal(self.sealing_key, claims(SystemClock(), jti=secrets.token_hex(8), console=place))

    async def _file(self) -> str:
        token = secrets.token_urlsafe(24)
        path = self.config.with_name("tokens")
        path.write_text(f"{path.read_text()}{token}: 127.0.0.1:{self.port}\n")
        return token

    async def _http(self) -> str:
        token = secrets.token_urlsafe(24)
        place = {"host": "127.0.0.1", "port": self.port}
        console = {"protocol": "vnc", "type": "novnc", "server": "demo", "target": place, "subject": "carol"}
        self.service.replies[token] = console
        return token

    async def _nova(self) -> str:
        return self.nova.add(port=self.port)

    def unknown(self, kind: str) -> str:
        """A token of the same form that opens nothing, noted as a secret."""
        text = {
            "own": f"ckt_{secrets.token_urlsafe(32)}",
            "sealed": seal(self.sealing_key, claims(SystemClock(), aud="another")),
            "nova": str(uuid.uuid4()),
        }.get(kind, secrets.token_urlsafe(24))
        return self.hunt.secret(self._name(f"unknown {kind} token"), text)

    # ---- who asks

    async def raw(self, what: str, data: bytes, *, hear: bool = True) -> bytes:
        """Send bytes to the proxy; its whole answer, which is heard."""
        async with wire(self.gateway) as connection:
            await connection.send(data)
            async with asyncio.timeout(PATIENCE):
                while not _whole(connection.received) and await connection.more():
                    pass
            answer = connection.received
        assert answer, what
        if hear:
            self.hunt.hear(f"the answer to {what}", answer)
        return answer

    async def api(
        self, method: str, path: str, body: object = None, *, key: str | None = None, hear: bool = True
    ) -> bytes:
        """Ask the API; its whole answer."""
        host, _, port = self.server.api_url.removeprefix("http://").partition(":")
        data = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: close",
                f"Authorization: Bearer {key or self.api_key.reveal()}", "Content-Type: application/json",
                f"Content-Length: {len(data)}", "", ""]  # fmt: skip
        answer = await _exchange(host, int(port), "\r\n".join(head).encode() + data)
        if hear:
            self.hunt.hear(f"the API's answer to {method}", answer)
        return answer

    async def admin(self, path: str) -> bytes:
        host, _, port = self.server.admin_url.removeprefix("http://").partition(":")
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
        answer = await _exchange(host, int(port), head.encode())
        self.hunt.hear(f"the answer to {path}", answer)
        return answer

    async def open(self, token: str, key: str) -> ClientConnection:
        """A browser's console, logged in; the answer and the first bytes are heard."""
        browser = await self.gateway.open(token, resume=key)
        self.hunt.hear("the answer to a browser", f"{browser.response.headers} {browser.subprotocol}")
        heard = await log_in(browser)
        self.hunt.hear("what a browser is sent", heard)
        return browser

    def new_resume_key(self) -> str:
        return self.hunt.secret(self._name("resume key"), resume_key())

    async def command(self, *words: str, said: str = "") -> None:
        """Run the program beside the server, as an operator does."""
        done = await asyncio.to_thread(
            subprocess.run, [*COMMAND, *words, "--config", str(self.config)],
            input=said.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        self.hunt.hear(f"consolekit {' '.join(words[:3])}", done.stdout)

    def dump(self, when: str) -> None:
        """Hear what the store keeps."""
        for name, data in self.kept.dump(self.gateway.kit.store):
            self.hunt.hear(f"{name}, {when}", data)


def _whole(data: bytes) -> bool:
    head, blank, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    return bool(blank) and len(body) >= (int(length[1]) if length else 0)


async def _exchange(host: str, port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def site(store: str, folder: Path, hunt: Hunt) -> AsyncIterator[Site]:
    """Run a site over this store of ``canarystores``."""
    password = hunt.secret("the password of the console's server", secrets.token_urlsafe(6))
    wrong = hunt.secret("a wrong password of the console's server", secrets.token_urlsafe(6))
    api_key = new_key()
    hunt.secret("the key of the API's caller", api_key.reveal())
    hunt.secret("the secret of the token service", tokenservice.SECRET)
    hunt.secret("the password for Keystone", novastub.PASSWORD)
    async with AsyncExitStack() as stack:
        (folder / "store").mkdir()
        kept = stack.enter_context(STORES[store](folder / "store", hunt))
        screen = await stack.enter_async_context(RfbServer(password=Secret(password)))
        nova = stack.enter_context(novastub.nova())
        service = stack.enter_context(tokenservice.token_service())
        (folder / "tokens").write_text("# ours\n")
        (folder / "service-secret").write_text(tokenservice.SECRET)
        key = key_file(folder / "keys.json", SystemClock())
        hunt.secret("the sealing key", base64.urlsafe_b64encode(key.material).decode().rstrip("="))
        config = folder / "consolekit.toml"
        nova_auth = ", ".join(f'{name} = "{value}"' for name, value in nova.auth().items())
        config.write_text(
            _CONFIG.format(
                api_key=hash_of(api_key), tokens=kept.tokens, address=screen.address, password=password,
                wrong=wrong, folder=folder, audience=AUDIENCE, service=service.url, nova=f"{{ {nova_auth} }}",
            )
        )  # fmt: skip
        loaded = load(config, env={})
        kit = build_kit(loaded)
        server = Server(loaded.config, kit)
        await server.start()
        stack.push_async_callback(server.aclose)
        gateway = Gateway(kit=kit, proxy=server._proxy, listener=server._listeners[0])
        yield Site(hunt=hunt, kept=kept, gateway=gateway, server=server, config=config, port=screen.port,
                   nova=nova, service=service, sealing_key=key, api_key=api_key)  # fmt: skip
        for at, token in enumerate(nova.every_token):
            hunt.secret(f"a service token of Keystone {at}", token)
