"""Proxy: wiring, and nothing more. What is wired here knows nothing of who wired it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tornado.web import Application

from consolekit import web
from consolekit.core.networks import NOWHERE, Networks
from consolekit.http.accesslog import log_request
from consolekit.http.application import BoundedApplication
from consolekit.http.handler import NotFoundHandler
from consolekit.proxy.engine import Engine, ProxySettings
from consolekit.proxy.handler import ConsoleSocket, Outcome
from consolekit.proxy.health import Healthz, MetricsPage, Readyz
from consolekit.proxy.novalinks import PAGES, SPICE_PAGE, Front, NoSpicePage, NovaPage, SpicePage
from consolekit.proxy.pages import Assets, Page, ViewerPages, viewer_policy
from consolekit.web.kept import MARK, KeptFiles

__all__ = ["Proxy", "ProxySettings"]


class Proxy(Engine):
    """One proxy over one kit, behind tornado; make it inside the running loop. See ``Engine``."""

    def application(self) -> Application:
        """What the public listener serves: websocket, page, probes."""
        settings, prefix = self.settings, re.escape(self.settings.prefix)
        socket = {"admission": self.admission}
        novnc = web.novnc_dir(settings.web_root)
        kept = KeptFiles(novnc)
        marked = rf"{prefix}/console/(?:(?P<mark>{MARK})/)?"
        routes: list[Any] = [
            (rf"{prefix}/ws", ConsoleSocket, socket),
            (rf"{prefix}/websockify", ConsoleSocket, socket),
            (rf"{prefix}/", Front, socket),
            (rf"{prefix}/console/outcome", Outcome, socket),
            (rf"{marked}assets/(?P<path>.*)", Assets, {"path": str(web.assets_dir()), "kept": kept}),
            (rf"{prefix}/console/", Page, {"kept": kept}),
            *self._probes(),
        ]
        if novnc is not None:
            routes.insert(0, (rf"{marked}novnc/(?P<path>.*)", Assets, {"path": str(novnc), "kept": kept}))
        if settings.web_root is not None and web.has_pages(settings.web_root):
            routes += _own_viewer(prefix, settings.web_root)
        routes.append((rf"{prefix}/{re.escape(SPICE_PAGE)}", NoSpicePage))
        routes += [(rf"{prefix}/{re.escape(page)}", NovaPage) for page in PAGES]
        return _application(routes, settings.hosts, settings.trusted_proxies)

    def admin_application(self) -> Application:
        """What the admin listener serves: probes and metrics."""
        metrics = (r"/metrics", MetricsPage, {"registry": self.metrics.registry})
        return _application([*self._probes(), metrics], self.settings.hosts, NOWHERE)

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
