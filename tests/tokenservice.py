"""Test support: a site's own token service, which the validator ``http`` asks.

Importable as ``tokenservice``. Real HTTP on loopback, with TLS where wanted. It answers
what it was told to, counts, and fails on demand.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

SECRET = "service-secret-0123456789"


@attrs.define
class TokenService:
    """A running service; its attributes may be changed while it runs.

    Attributes:
        url: Where it is.
        replies: What tokens stand for, by the segment of the path as it came.
        fault: Answers in its stead, where there is one.
        released: What a hanging fault waits for.
        paths: What it was asked for, in order.
        headers: Of each request.
        connections: How many there were.
    """

    url: str = ""
    replies: dict[str, Any] = attrs.field(factory=dict)
    fault: Callable[[BaseHTTPRequestHandler], None] | None = None
    released: threading.Event = attrs.field(factory=threading.Event)
    paths: list[str] = attrs.field(factory=list)
    headers: list[dict[str, str]] = attrs.field(factory=list)
    connections: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: TokenService

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.service.paths.append(self.path)
        self.service.headers.append({name.lower(): value for name, value in self.headers.items()})
        if self.service.fault is not None:
            try:
                self.service.fault(self)
            except OSError:  # who asked has gone
                pass
            self.close_connection = True
            return
        reply = self.service.replies.get(self.path.removeprefix("/tokens/"))
        send(self, 200 if reply is not None else 404, json.dumps(reply).encode())


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """One whole answer; headers with "_" for "-"."""
    handler.send_response(status)
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    for name, value in (lines | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False
    service: TokenService

    def get_request(self) -> Any:
        self.service.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def token_service(tls: ssl.SSLContext | None = None) -> Iterator[TokenService]:
    """Run a service on a free port of loopback."""
    service = TokenService()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": service}))
    server.service = service
    if tls is not None:
        # the handshake belongs to the connection's own thread, or a silent client would stop the accepting
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    service.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/tokens"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
