"""Tornado: consoles inside an application of your own: pages and websocket under a prefix, on your listener.

Wires, and nothing more: the proxy is ``consolekit.proxy``'s. What only a listener can do stays yours: how
many connections may wait, and how long a request's header may take.
"""

from __future__ import annotations

import re

from tornado.routing import PathMatches, Rule

from consolekit.proxy.app import Proxy, ProxySettings

__all__ = ["Proxy", "ProxySettings", "url_specs"]


def url_specs(proxy: Proxy) -> list[Rule]:
    """Rules for ``tornado.web.Application(...)`` or ``add_handlers``: below its prefix the proxy answers.

    It does so with headers, access log and problem documents of its own, and your application's settings are
    not asked. Call ``await proxy.start()`` before the first request, ``await proxy.aclose()`` at the end. The
    relay takes the sockets of consoles over from your HTTP server, plain or TLS, so closing the server does
    not end them; ``aclose`` does.

    Args:
        proxy: With a prefix, such as that of ``ProxySettings.of(kit)`` where ``base_url`` has a path.

    Raises:
        ValueError: it has no prefix, and would take every address.
    """
    prefix = proxy.settings.prefix
    if not prefix:
        raise ValueError("mount the proxy under a prefix: ProxySettings(prefix='/consoles', ...)")
    return [Rule(PathMatches(rf"{re.escape(prefix)}/.*"), proxy.application())]
