"""HTTP: one line per request, without query, headers, body or a made-up method: each may hold a token."""

from __future__ import annotations

import logging
import re

from tornado.web import RequestHandler

from consolekit.http.handler import NotFoundHandler

_log = logging.getLogger("consolekit.access")
_MAX_PATH = 200
# a token or key that somebody put in a path, and Nova's path that ends in one
_SECRET = re.compile(r"(ck[a-z]_|/os-console-auth-tokens/)[^/]+")
_LONG = re.compile(r"[^/]{16,}")  # what may be another issuer's token; a word of any path of ours is shorter


def log_request(handler: RequestHandler) -> None:
    """Tornado's ``log_function``: method, bounded path, status, milliseconds, address."""
    request = handler.request
    path = _SECRET.sub(r"\1***", request.path)
    if isinstance(handler, NotFoundHandler):  # nobody's: there is no knowing what stands in it
        path = _LONG.sub("***", path)
    path = path[:_MAX_PATH].encode("unicode_escape").decode("ascii")
    status = handler.get_status()
    level = logging.WARNING if status >= 500 else logging.INFO
    _log.log(
        level,
        "%d %s %s %.1fms",
        status,
        # whoever asks may have put any word there
        request.method if request.method in RequestHandler.SUPPORTED_METHODS else "-",
        path,
        1000.0 * request.request_time(),
        extra={"remote_address": request.remote_ip, "status": status},
    )
