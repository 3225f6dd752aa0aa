"""Example: a portal of your own with ConsoleKit inside, in one process.

The portal knows its users and its servers; ConsoleKit makes links and carries consoles. Here the "database"
is a table of one server, given on the command line::

    python examples/embed.py 127.0.0.1:5900
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from consolekit import Caller, ConsoleKit, ConsoleKitError, KitSettings, ProviderRegistry
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import UnknownServer
from consolekit.core.types import SystemClock
from consolekit.net.listener import Listener
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.proxy.app import Proxy, ProxySettings

DATABASE = {"web-1": {"owner": "alice", "vnc": ""}}


# [lookup]
async def find_server(server_id: str) -> VncServer:
    """Say where a server's VNC is; called when a link is made and again when the browser connects."""
    row = DATABASE.get(server_id)
    if row is None:
        raise UnknownServer("not in the inventory")
    return VncServer(address=row["vnc"])


# [kit]
def make_kit(base_url: str) -> ConsoleKit:
    """Providers, tokens, settings: everything is passed in, nothing is global."""
    clock = SystemClock()
    registry = ProviderRegistry()
    registry.add("inventory", VncProvider(lookup=find_server))
    store = MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock)
    return ConsoleKit(
        registry=registry,
        store=store,
        issuer=tokens,
        validators=[tokens],
        clock=clock,
        settings=KitSettings(base_url=base_url, token_seconds=30),
    )


# [portal]
class OpenConsole(RequestHandler):
    """``GET /servers/ID/console``: the portal decides who may, then sends the browser to the console."""

    def initialize(self, kit: ConsoleKit) -> None:
        """Take what the application wired."""
        self.kit = kit

    async def get(self, server_id: str) -> None:
        """Redirect to a fresh link."""
        user = "alice"  # your session or single sign-on says who it is
        if DATABASE.get(server_id, {}).get("owner") != user:
            raise HTTPError(404)
        try:
            link = await self.kit.create(
                server_id, {"protocol": "vnc", "type": "novnc"}, caller=Caller(name="portal"), subject=user
            )
        except ConsoleKitError as error:
            raise HTTPError(error.status, reason=error.code) from error
        self.set_header("Cache-Control", "no-store")
        self.redirect(link.url.reveal())


# [serve]
async def serve(stop: asyncio.Event, say: Callable[[str], None] = print) -> None:
    """Run the portal and the proxy beside each other, on two ports that the system chooses."""
    public = Listener("127.0.0.1", 0)
    public.bind()
    base_url = f"http://127.0.0.1:{public.port}"
    kit = make_kit(base_url)
    hosts = {f"127.0.0.1:{public.port}"}
    proxy = Proxy(kit, ProxySettings(origins={base_url}, hosts=hosts))
    await proxy.start()
    public.start(proxy.application())

    portal = Application([(r"/servers/([^/]+)/console", OpenConsole, {"kit": kit})])
    sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(portal)
    server.add_sockets(sockets)
    say(f"open http://127.0.0.1:{sockets[0].getsockname()[1]}/servers/web-1/console")
    await stop.wait()

    server.stop()
    await proxy.aclose(drain_seconds=5)
    await public.aclose()
    await kit.aclose()


if __name__ == "__main__":
    DATABASE["web-1"]["vnc"] = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5900"
    try:
        asyncio.run(serve(asyncio.Event()))
    except KeyboardInterrupt:
        pass
