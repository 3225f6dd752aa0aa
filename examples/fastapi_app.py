"""Example: a FastAPI application with consoles inside: one process, one port, and a page of its own.

What is below ``/consoles`` is an ASGI application of consolekit's, mounted; Starlette and Channels mount it
alike. The portal's own page draws the screen with noVNC, which it takes from there::

    pip install fastapi 'uvicorn[standard]'
    python examples/fastapi_app.py 127.0.0.1:5900
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, JSONResponse

from consolekit import Caller, ConsoleKit, ConsoleKitError, KitSettings, ProviderRegistry
from consolekit.asgi import AsgiConsoles
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import UnknownServer
from consolekit.core.types import SystemClock
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer

DATABASE = {"web-1": {"owner": "alice", "vnc": ""}}

PAGE = """<!doctype html>
<meta charset="utf-8"><title>web-1 - Acme cloud</title>
<style>
  body { margin: 0; font: 16px sans-serif; }
  header { padding: 14px 24px; border-bottom: 2px solid #0a7d68; color: #0a7d68; }
  #screen { height: 480px; margin: 24px; background: black; border-radius: 8px; overflow: hidden; }
</style>
<header>Acme cloud / web-1 / console: <span id="state">connecting</span></header>
<div id="screen"></div>
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


# [app]
def make_app(origin: str) -> FastAPI:
    """The portal; browsers reach it at ``origin``."""
    kit = make_kit(f"{origin}/consoles")
    consoles = AsgiConsoles(kit)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await consoles.start()
        yield
        await consoles.aclose()
        await kit.aclose()

    app = FastAPI(lifespan=lifespan)
    app.mount("/consoles", consoles)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @app.post("/servers/{server_id}/console")
    async def open_console(server_id: str) -> JSONResponse:
        user = "alice"  # your session says who it is; and check your CSRF token here
        if DATABASE.get(server_id, {}).get("owner") != user:
            raise HTTPException(404)
        wanted = {"protocol": "vnc", "type": "novnc"}
        try:
            link = await kit.create(server_id, wanted, caller=Caller(name="portal"), subject=user)
        except ConsoleKitError as error:
            raise HTTPException(error.status, detail=error.title) from error
        protocols = ["binary", f"consolekit.token.{link.token.reveal()}"]
        answer = {"url": "/consoles/ws", "protocols": protocols}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    return app


# [serve]
async def serve(stop: asyncio.Event, say: Callable[[str], None] = print) -> None:
    """Run the portal on a port that the system chooses."""
    sock = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
    config = uvicorn.Config(make_app(origin), log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([sock]))
        say(f"open {origin}/")
        await stop.wait()
        server.should_exit = True


if __name__ == "__main__":
    DATABASE["web-1"]["vnc"] = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5900"
    try:
        asyncio.run(serve(asyncio.Event()))
    except KeyboardInterrupt:
        pass
