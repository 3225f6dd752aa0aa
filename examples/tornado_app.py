"""Example: a Tornado application with consoles inside: one process, one port, and a page of its own.

The portal knows its users and its servers. Below ``/consoles`` the gateway answers; the portal's own page
draws the screen with noVNC, which it takes from there::

    python examples/tornado_app.py 127.0.0.1:5900
"""

from __future__ import annotations

import asyncio
import json
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
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.tornado import Proxy, ProxySettings, url_specs

DATABASE = {"web-1": {"owner": "alice", "vnc": ""}}

PAGE = """<!doctype html>
<meta charset="utf-8"><title>web-1 - Acme portal</title>
<style>
  body { margin: 0; font: 16px sans-serif; background: #eef1f5; }
  header { padding: 14px 24px; background: #24405e; color: white; }
  main { display: grid; grid-template-columns: 220px 1fr; gap: 24px; padding: 24px; }
  #screen { height: 420px; background: black; }
</style>
<header>Acme portal: your servers</header>
<main><div><h2>web-1</h2><p id="state">connecting</p></div><div id="screen"></div></main>
<script type="module">
  import RFB from "/consoles/console/novnc/core/rfb.js";
  const state = document.querySelector("#state");
  const answer = await fetch("/servers/web-1/console", {method: "POST"});
  const {url, protocols} = await answer.json();
  const rfb = new RFB(document.querySelector("#screen"), url, {wsProtocols: protocols});
  rfb.scaleViewport = true;
  rfb.addEventListener("connect", () => { state.textContent = "connected"; });
  rfb.addEventListener("disconnect", () => { state.textContent = "closed"; });
</script>
"""


async def find_server(server_id: str) -> VncServer:
    """Say where a server's VNC is."""
    row = DATABASE.get(server_id)
    if row is None:
        raise UnknownServer("not in the inventory")
    return VncServer(address=row["vnc"])


def make_kit(base_url: str) -> ConsoleKit:
    """Providers, tokens, settings."""
    clock = SystemClock()
    registry = ProviderRegistry()
    registry.add("inventory", VncProvider(lookup=find_server))
    store = MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock)
    settings = KitSettings(base_url=base_url, token_seconds=30)
    return ConsoleKit(registry=registry, store=store, issuer=tokens, validators=[tokens], settings=settings)


class ServerPage(RequestHandler):
    """``GET /``: the portal's own page, with a console in it."""

    def get(self) -> None:
        """Show it."""
        self.write(PAGE)


class OpenConsole(RequestHandler):
    """``POST /servers/ID/console``: the portal decides who may, and says where the websocket is."""

    def initialize(self, kit: ConsoleKit) -> None:
        """Take what the application wired."""
        self.kit = kit

    async def post(self, server_id: str) -> None:
        """Give the page what noVNC needs."""
        user = "alice"  # your session says who it is; and check your XSRF cookie here
        if DATABASE.get(server_id, {}).get("owner") != user:
            raise HTTPError(404)
        try:
            link = await self.kit.create(
                server_id, {"protocol": "vnc", "type": "novnc"}, caller=Caller(name="portal"), subject=user
            )
        except ConsoleKitError as error:
            raise HTTPError(error.status, reason=error.code) from error
        protocols = ["binary", f"consolekit.token.{link.token.reveal()}"]
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({"url": "/consoles/ws", "protocols": protocols}))


# [serve]
async def serve(stop: asyncio.Event, say: Callable[[str], None] = print) -> None:
    """Run the portal with the consoles in it, on a port that the system chooses."""
    sockets = bind_sockets(0, "127.0.0.1")
    origin = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    kit = make_kit(f"{origin}/consoles")
    proxy = Proxy(kit, ProxySettings.of(kit))
    application = Application(
        [("/", ServerPage), (r"/servers/([^/]+)/console", OpenConsole, {"kit": kit}), *url_specs(proxy)]
    )
    await proxy.start()
    server = HTTPServer(application)
    server.add_sockets(sockets)
    say(f"open {origin}/")
    await stop.wait()

    server.stop()
    await proxy.aclose(drain_seconds=5)
    await server.close_all_connections()
    await kit.aclose()


if __name__ == "__main__":
    DATABASE["web-1"]["vnc"] = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5900"
    try:
        asyncio.run(serve(asyncio.Event()))
    except KeyboardInterrupt:
        pass
