"""HTTP: an application that refuses a body by its announced size, before it is read. Knows no console."""

from __future__ import annotations

import json
from collections.abc import Awaitable

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application

from consolekit.http.headers import SAFE_HEADERS
from consolekit.http.problems import CONTENT_TYPE, problem_of_status
from consolekit.net.stream import ChannelStream

_TOO_LARGE = 413
_DIGITS = 12  # no limit is that long; and Python refuses to convert thousands of digits


class BoundedApplication(Application):
    """Tornado's, but what announces too large a body is told 413; tornado itself would say 400, bare."""

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Put the check before the router."""
        return _SizeCheck(super().start_request(server_conn, request_conn), request_conn)


class _SizeCheck(HTTPMessageDelegate):
    """Looks at the announced length; everything else goes through."""

    def __init__(self, inner: HTTPMessageDelegate, connection: HTTPConnection) -> None:
        self._inner, self._connection = inner, connection
        self._refused = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """Refuse, or let the request in."""
        connection = self._connection
        if isinstance(connection, HTTP1Connection) and _announced(headers) > _limit(connection):
            self._refused = True
            _refuse(connection)
            return None
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """A piece of an accepted body."""
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        """The request is whole."""
        self._inner.finish()

    def on_connection_close(self) -> None:
        """The peer is gone, or was refused."""
        if not self._refused:
            self._inner.on_connection_close()


def _announced(headers: HTTPHeaders) -> int:
    """The length that the request announces; 0 where it announces none or nonsense, which others refuse."""
    text = headers.get("Content-Length", "")
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text[:_DIGITS]) if len(text) <= _DIGITS else 10**_DIGITS


def _limit(connection: HTTP1Connection) -> int:
    limit = connection.params.max_body_size
    return connection.stream.max_buffer_size if limit is None else limit


def _refuse(connection: HTTP1Connection) -> None:
    body = json.dumps(problem_of_status(_TOO_LARGE)).encode()
    headers = HTTPHeaders({**SAFE_HEADERS, "Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    if isinstance(connection.stream, ChannelStream):
        connection.stream.refuse()
    connection.write_headers(ResponseStartLine("HTTP/1.1", _TOO_LARGE, "Content Too Large"), headers, body)
    connection.finish()
