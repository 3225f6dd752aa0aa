"""Proxy: addresses as Nova writes them, led to a page. Knows no token's meaning and no session.

Nova's links are ``vnc_auto.html?path=%3Ftoken%3D<token>`` (console type ``novnc``) or a base URL with
``?token=<token>`` (all others; SPICE's is ``spice_auto.html``). The token goes on in the fragment: our page
takes it from there, out of the address bar, and no server after us sees it.

SPICE has no viewer of ours. The operator's own would put the token into a cookie, which every later page here
would send; it is told where its websocket is instead, with the token in that address.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlencode

from tornado.web import HTTPError

from consolekit.http.handler import Handler
from consolekit.proxy.handler import ConsoleSocket
from consolekit.proxy.pages import ViewerPages

PAGES = ("vnc_auto.html", "vnc_lite.html")
"""Pages of noVNC that Nova's ``novncproxy_base_url`` names, now and in older releases."""

SPICE_PAGE = "spice_auto.html"
"""The page of spice-html5 that Nova's ``html5proxy_base_url`` names."""

_SPICE = {"protocol": "spice", "type": "spice-html5"}
_MAX_FIELDS = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,512}")
_TITLE = 80


def fragment_of(query: str) -> str:
    """The fragment for our page; empty where the query has no token, or not exactly one.

    Args:
        query: Of the address that Nova has made.
    """
    fields = _fields(query)
    tokens = list(fields.get("token", ()))
    for path in fields.get("path", ()):
        tokens += _fields(path.partition("?")[2]).get("token", ())
    if len(tokens) != 1 or not _TOKEN.fullmatch(tokens[0]):
        return ""
    title = "".join(fields.get("title", ()))[:_TITLE]  # which dashboards add
    return urlencode({"token": tokens[0], "server": title} if title else {"token": tokens[0]})


def spice_query(query: str, folder: str) -> str:
    """The query with which spice-html5's page opens its channels; empty where there is nothing to change.

    All channels show one resume key, so that they are one viewer's, and the next who has the link is another.

    Args:
        query: Of the address that was asked for.
        folder: The path of the page's folder, with a slash at its end.
    """
    fields = _fields(query)
    tokens = fields.get("token", ())
    if len(tokens) != 1 or not _TOKEN.fullmatch(tokens[0]):
        return ""
    socket = urlencode({"token": tokens[0], "resume": secrets.token_urlsafe(32)})
    title = "".join(fields.get("title", ()))[:_TITLE]
    return urlencode({"path": f"{folder}?{socket}", **({"title": title} if title else {})})


def _fields(query: str) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return {}


class NovaPage(Handler):
    """``/vnc_auto.html``: to our page, with the token if there is one; the page says what is missing."""

    def get(self) -> None:
        """Lead on."""
        fragment = fragment_of(self.request.query)
        self.redirect(f"console/#{fragment}" if fragment else "console/")

    def head(self) -> None:
        """The same."""
        self.get()


class NoSpicePage(Handler):
    """``/spice_auto.html`` where there is none: our page, which says so."""

    def get(self) -> None:
        """Lead on."""
        fields = [fragment_of(self.request.query), urlencode(_SPICE)]
        self.redirect(f"console/#{'&'.join(filter(None, fields))}")

    def head(self) -> None:
        """The same."""
        self.get()


class SpicePage(ViewerPages):
    """``/spice_auto.html`` of the operator's spice-html5."""

    async def get(self, path: str, include_body: bool = True) -> None:
        """The page, once its address says where its websocket is."""
        folder = self.request.path.removesuffix(SPICE_PAGE)
        if query := spice_query(self.request.query, folder):
            self.redirect(f"{SPICE_PAGE}?{query}")
        else:
            await super().get(path, include_body)


class Front(ConsoleSocket):
    """``/``: the websocket of noVNC's own pages with Nova's ``path``, and the page of Nova's other links."""

    async def get(self) -> None:
        """Answer a websocket as everywhere; lead a page's request on if it has a token."""
        if "Upgrade" in self.request.headers:
            await super().get()
        elif fragment := fragment_of(self.request.query):
            self.redirect(f"console/#{fragment}")
        else:
            raise HTTPError(404)
