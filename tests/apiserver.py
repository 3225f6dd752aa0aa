"""Test support: the API on a real listener on loopback. Importable as ``apiserver``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
from consolesite import Site
from exchange import Reply, replies_in

from consolekit.api import Callers, KeyEntry, make_api
from consolekit.api.callers import hash_of, new_key
from consolekit.core.types import Secret
from consolekit.net.listener import Listener, ListenerSettings


@attrs.frozen(kw_only=True)
class ApiServer:
    """A running API."""

    site: Site
    key: Secret
    listener: Listener

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.listener.port}"

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key.reveal()}"}

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def ask(self, sent: bytes) -> list[Reply]:
        """Send bytes as they are; every response until the server closes."""
        async with self.connected() as (reader, writer):
            writer.write(sent)
            return replies_in(await reader.read())


@asynccontextmanager
async def running_api(
    site: Site, *, anonymous: bool = False, see_secrets: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ApiServer]:
    """Run the API of a site."""
    key = new_key()
    entry = KeyEntry(sha256=hash_of(key), see_secrets=see_secrets)
    callers = Callers.anonymous() if anonymous else Callers({"tests": entry})
    listener = Listener("127.0.0.1", 0, tls=tls, settings=ListenerSettings(pending_per_address=128))
    listener.bind()
    listener.start(make_api(site.kit, callers=callers, hosts=[f"127.0.0.1:{listener.port}"]))
    try:
        yield ApiServer(site=site, key=key, listener=listener)
    finally:
        await listener.aclose()
        await site.kit.aclose()
