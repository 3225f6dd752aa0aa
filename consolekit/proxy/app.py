"""Proxy: wiring, and nothing more. What is wired here knows nothing of who wired it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from prometheus_client import CollectorRegistry
from tornado.web import Application

from consolekit import web
from consolekit.core.networks import NOWHERE, Networks
from consolekit.core.types import SessionInfo
from consolekit.http.accesslog import log_request
from consolekit.http.application import BoundedApplication
from consolekit.http.handler import NotFoundHandler
from consolekit.kit import ConsoleKit
from consolekit.proxy.handler import ConsoleSocket, Outcome
from consolekit.proxy.health import Healthz, MetricsPage, Readyz
from consolekit.proxy.lag import LoopLag
from consolekit.proxy.metrics import Metrics, Sources
from consolekit.proxy.novalinks import PAGES, SPICE_PAGE, Front, NoSpicePage, NovaPage, SpicePage
from consolekit.proxy.pages import Assets, Page, ViewerPages, viewer_policy
from consolekit.proxy.relay import RelaySettings
from consolekit.proxy.session import Surroundings, Timeouts
from consolekit.proxy.sessions import Limits, Sessions
from consolekit.proxy.wheel import TimerWheel


@attrs.frozen(kw_only=True)
class ProxySettings:
    """What an operator decides about the proxy.

    Attributes:
        origins: Pages that may open websockets: ``scheme://host[:port]``, lower case.
        hosts: Names, with port where not the scheme's own, that requests may be addressed to.
        allow_no_origin: Whether clients that are no browsers (no Origin header) may connect.
        prefix: Path in front of everything, such as ``/consoles``.
        trusted_proxies: Networks of proxies whose ``X-Forwarded-For`` says who the viewer is.
        web_root: The operator's own noVNC, or another viewer's pages.
        limits: How many sessions.
        timeouts: Deadlines of a session's beginning.
        relay: Deadlines and limits of the rest.
    """

    origins: Collection[str]
    hosts: Collection[str]
    allow_no_origin: bool = True
    prefix: str = ""
    trusted_proxies: Networks = NOWHERE
    web_root: Path | None = None
    limits: Limits = attrs.field(factory=Limits)
    timeouts: Timeouts = attrs.field(factory=Timeouts)
    relay: RelaySettings = attrs.field(factory=RelaySettings)


class Proxy:
    """One proxy over one kit; make it inside the running loop.

    Args:
        kit: Providers, tokens, hooks. Stays the caller's to close.
        settings: See ``ProxySettings``.
        registry: Where the metrics go; an embedder passes its own.

    Attributes:
        sessions: The live ones.
        metrics: The figures.
        pending: Gives the number of connections without a token; set by whoever listens.
        listening: Gives the number of sockets that are no session's, by kind; set by whoever listens.
        certificates: Gives when (epoch s) each listener's certificate ends; set by whoever listens.
        lost_lines: Gives how many lines of the log nobody took; set by whoever writes it.
    """

    def __init__(
        self, kit: ConsoleKit, settings: ProxySettings, *, registry: CollectorRegistry | None = None
    ) -> None:
        self._settings = settings
        self.pending: Callable[[], int] = int
        self.listening: Callable[[], Mapping[str, int]] = dict
        self.certificates: Callable[[], Mapping[str, float]] = dict
        self.lost_lines: Callable[[], int] = int
        self.sessions: Sessions = Sessions(kit.store, kit.clock, settings.limits)
        self.metrics: Metrics = Metrics(
            kit.registry.pairs(),
            registry=registry or CollectorRegistry(),
            sources=Sources(
                live=self._infos,
                pending=lambda: self.pending(),
                sockets=self._sockets,
                watching=lambda: self.sessions.watching,
                certificates=lambda: self.certificates(),
                lost_lines=lambda: self.lost_lines(),
            ),
            providers=[name for name, _ in kit.registry],
            validators=kit.validators.names,
        )
        kit.timings.listen(self.metrics.call_took)
        self._lag = LoopLag(self.metrics.lagged)
        wheel = TimerWheel(asyncio.get_running_loop(), kit.clock)
        self._around = Surroundings(
            kit=kit,
            sessions=self.sessions,
            metrics=self.metrics,
            wheel=wheel,
            timeouts=settings.timeouts,
            relay=settings.relay,
        )

    def _infos(self) -> Iterable[SessionInfo]:
        return (session.info() for session in self.sessions)

    def _sockets(self) -> Mapping[str, int]:
        counted = Counter(self.listening())
        for session in self.sessions:
            viewer, server = session.sockets()
            counted["viewer"] += viewer
            counted["server"] += server
        return counted

    async def start(self) -> None:
        """Begin to follow revocations.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        await self.sessions.start()
        self._lag.start()

    async def aclose(self, *, drain_seconds: float = 0.0) -> None:
        """Wait for the sessions, end those that are left, stop."""
        await self.sessions.drain(drain_seconds)
        self._lag.stop()
        await self.sessions.aclose()

    def application(self) -> Application:
        """What the public listener serves: websocket, page, probes."""
        settings, prefix = self._settings, re.escape(self._settings.prefix)
        socket = {
            "around": self._around,
            "origins": settings.origins,
            "allow_no_origin": settings.allow_no_origin,
        }
        page = web.page_file()
        novnc = web.novnc_dir(settings.web_root)
        routes: list[Any] = [
            (rf"{prefix}/ws", ConsoleSocket, socket),
            (rf"{prefix}/websockify", ConsoleSocket, socket),
            (rf"{prefix}/", Front, socket),
            (rf"{prefix}/console/outcome", Outcome, {"around": self._around}),
            (rf"{prefix}/console/assets/(.*)", Assets, {"path": str(web.assets_dir())}),
            (rf"{prefix}/console/", Page, {"path": str(page.parent), "default_filename": page.name}),
            *self._probes(),
        ]
        if novnc is not None:
            routes.insert(0, (rf"{prefix}/console/novnc/(.*)", Assets, {"path": str(novnc)}))
        if settings.web_root is not None and web.has_pages(settings.web_root):
            routes += _own_viewer(prefix, settings.web_root)
        routes.append((rf"{prefix}/{re.escape(SPICE_PAGE)}", NoSpicePage))
        routes += [(rf"{prefix}/{re.escape(page)}", NovaPage) for page in PAGES]
        return _application(routes, settings.hosts, settings.trusted_proxies)

    def admin_application(self) -> Application:
        """What the admin listener serves: probes and metrics."""
        metrics = (r"/metrics", MetricsPage, {"registry": self.metrics.registry})
        return _application([*self._probes(), metrics], self._settings.hosts, NOWHERE)

    def _probes(self) -> list[Any]:
        return [
            (r"/healthz", Healthz),
            (r"/readyz", Readyz, {"sessions": self.sessions}),
        ]


def _own_viewer(prefix: str, folder: Path) -> list[Any]:
    """What the operator's viewer has, where its own pages look for it; nothing else is taken from ours."""
    top = sorted(re.escape(entry.name) for entry in folder.iterdir() if not entry.name.startswith("."))
    files = {"path": str(folder), "policy": viewer_policy(folder)}
    routes: list[Any] = [(rf"{prefix}/((?:{'|'.join(top)})(?:/.*)?)", ViewerPages, files)]
    if (folder / SPICE_PAGE).is_file():
        routes.insert(0, (rf"{prefix}/({re.escape(SPICE_PAGE)})", SpicePage, files))
    return routes


def _application(routes: list[Any], hosts: Collection[str], trusted: Networks) -> Application:
    return BoundedApplication(
        routes,
        default_handler_class=NotFoundHandler,
        log_function=log_request,
        hosts=hosts,
        trusted_proxies=trusted,
    )
