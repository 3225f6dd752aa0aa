"""ASGI: the application: pages, the websocket, and the life of the proxy behind them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from consolekit import web
from consolekit.asgi import sockets
from consolekit.asgi.files import find, send_file
from consolekit.asgi.messages import Receive, Request, Scope, Send, Unfit, answer, answer_problem
from consolekit.core.errors import ConsoleKitError, UpgradeRequired
from consolekit.http.problems import problem_of, problem_of_status
from consolekit.kit import ConsoleKit
from consolekit.proxy.engine import Engine, ProxySettings
from consolekit.web.kept import MARK, KeptFiles

_SOCKETS = ("/ws", "/websockify")
_FILE = re.compile(rf"/console/(?:(?P<mark>{MARK})/)?(?P<folder>assets|novnc)/(?P<name>.*)", re.DOTALL)
_PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": web.CONTENT_SECURITY_POLICY,
}


class AsgiConsoles:
    """An ASGI application with the viewer's page and the consoles, to be mounted under a prefix.

    Call ``await start()`` when your application starts and ``await aclose()`` when it ends, from its own
    lifespan; served alone it does so itself. Not here, but in front of the proxy's own listener: Nova's
    addresses, an operator's pages, tokens in a websocket's address (an ASGI server logs those), and limits on
    connections that have shown no token.

    Args:
        kit: Providers, tokens, hooks. Stays the caller's to close.
        settings: Default: origins, hosts and prefix of the kit's base URLs.
        registry: Where the metrics go; an embedder passes its own.
    """

    def __init__(
        self,
        kit: ConsoleKit,
        settings: ProxySettings | None = None,
        *,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._kit, self._registry = kit, registry
        self._settings = settings or ProxySettings.of(kit)
        self._engine: Engine | None = None
        novnc = web.novnc_dir(self._settings.web_root)
        self._kept = KeptFiles(novnc)
        self._folders: dict[str, Path] = {"assets": web.assets_dir()}
        if novnc is not None:
            self._folders["novnc"] = novnc

    @property
    def engine(self) -> Engine:
        """The live sessions and their figures.

        Raises:
            RuntimeError: it was not started.
        """
        if self._engine is None:
            raise RuntimeError("await AsgiConsoles.start() in your application's lifespan")
        return self._engine

    async def start(self) -> None:
        """Begin to follow revocations, in the running loop.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        engine = Engine(self._kit, self._settings, registry=self._registry)
        await engine.start()
        self._engine = engine

    async def aclose(self, *, drain_seconds: float = 0.0) -> None:
        """Wait for the sessions, end those that are left, stop."""
        await self.engine.aclose(drain_seconds=drain_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI asks for it.

        Raises:
            ValueError: a scope that ASGI did not have when this was written.
            RuntimeError: it was not started.
        """
        kind = scope["type"]
        if kind == "lifespan":
            await self._live(receive, send)
            return
        if kind not in ("http", "websocket"):
            raise ValueError(f"ASGI scope {kind!r} is not known here")
        engine, settings = self.engine, self._settings
        try:
            request = Request.of(
                scope, prefix=settings.prefix, hosts=settings.hosts, trusted=settings.trusted_proxies
            )
            if kind == "websocket" and request.path not in _SOCKETS:
                raise Unfit(404)
        except Unfit as exc:
            await _turn_away(exc.status, scope, send)
            return
        if kind == "websocket":
            await sockets.serve(engine.admission, request, scope, receive, send)
        else:
            await self._answer(request, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol, where this is the whole application."""
        await receive()
        try:
            await self.start()
        except ConsoleKitError as exc:
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request, send: Send) -> None:
        head = request.method == "HEAD"
        if request.method not in ("GET", "HEAD"):
            await answer_problem(send, problem_of_status(405), more={"Allow": "GET, HEAD"})
        elif request.path == "/console/outcome":
            await self._tell_outcome(request, send, head=head)
        elif request.path in _SOCKETS:
            await answer_problem(send, problem_of(UpgradeRequired("no websocket handshake")), head=head)
        elif request.path == "/console/":
            await answer(send, 200, self._kept.page, _PAGE_HEADERS, head=head)
        elif (found := self._find(request.path)) is not None:
            file, cache = found
            await send_file(send, file, known=request.header("if-none-match"), cache=cache, head=head)
        else:
            await answer_problem(send, problem_of_status(404), head=head)

    def _find(self, path: str) -> tuple[Path, str] | None:
        """The file of an address, and how it may be kept."""
        match = _FILE.fullmatch(path)
        if match is None or match["folder"] not in self._folders:
            return None
        file = find(self._folders[match["folder"]], match["name"])
        return None if file is None else (file, self._kept.cache_control(match["mark"]))

    async def _tell_outcome(self, request: Request, send: Send, *, head: bool) -> None:
        try:
            found = await self.engine.admission.outcome(
                address=request.address,
                authorization=request.header("authorization"),
                resume_key=request.header("consolekit-resume"),
            )
        except ConsoleKitError as exc:
            await answer_problem(send, problem_of(exc), head=head)
            return
        body = json.dumps(found).encode()
        await answer(send, 200, body, {"Content-Type": "application/json"}, head=head)


async def _turn_away(status: int, scope: Scope, send: Send) -> None:
    if scope["type"] == "http":
        await answer_problem(send, problem_of_status(status), head=scope.get("method") == "HEAD")
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        await answer_problem(send, problem_of_status(status), kind="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
