"""Test support: a front before the vCenter simulator, for what vCenter does on its bad days.

Importable as ``vcfront``. Speaks TLS, forwards SOAP, counts calls by method, and by rule answers itself:
faults, HTML, 503, silence, drips, a dropped connection, a lost session. Runs in threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import trustme

_METHOD = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
_COOKIE = re.compile(r'vmware_soap_session="?([^";]+)')
#: Methods that vCenter answers without a session.
_OPEN = ("RetrieveServiceContent", "Login", "versions")

Action = Callable[["_Handler"], None]


@attrs.define
class _Rule:
    method: str
    action: Action
    left: int | None


class Front(ThreadingHTTPServer):
    """The front. Rules hold for the calls of one method (``*``: of all) and are asked in their order.

    Attributes:
        calls: How often each SOAP method was asked; ``versions`` is the version document.
        cookies: The session cookies that were seen in requests.
        greetings: How many connections came, whether TLS succeeded or not.
        bodies: Every request's body.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, backend: str, certificate: trustme.LeafCert) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.backend = backend
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self.context)
        self.lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.cookies: set[str] = set()
        self.greetings = 0
        self.bodies: list[bytes] = []
        self.released = threading.Event()
        self.hung = threading.Semaphore(0)
        self.running = 0
        self.most_at_once = 0
        self._dead: set[str] = set()
        self._rules: list[_Rule] = []

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.server_address[1])

    def when(self, method: str, action: Action, *, times: int | None = None) -> None:
        """Do this at the next ``times`` calls of a method; None: at all of them."""
        with self.lock:
            self._rules.append(_Rule(method, action, times))

    def as_usual(self) -> None:
        """Forget every rule, and let go of what hangs."""
        with self.lock:
            self._rules.clear()
        self.released.set()

    def lose_sessions(self) -> None:
        """Every session that was seen so far is not authenticated any more."""
        with self.lock:
            self._dead |= self.cookies

    def action_for(self, method: str, cookie: str) -> Action | None:
        """What to do instead of forwarding, if anything."""
        with self.lock:
            for rule in self._rules:
                if rule.method in ("*", method) and rule.left != 0:
                    rule.left = None if rule.left is None else rule.left - 1
                    return rule.action
            if cookie in self._dead and method not in _OPEN:
                return fault("NotAuthenticated", "The session is not authenticated.")
        return None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """TLS in the connection's own thread: a silent client holds up nobody."""
        with self.lock:
            self.greetings += 1
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(request, server_side=True, suppress_ragged_eofs=True) as sock,
        ):
            super().finish_request(sock, client_address)

    def shutdown_request(self, request: Any) -> None:
        """TLS has taken the socket over and closed it."""
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Front
    body = b""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("versions")

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self.body = self.rfile.read(size)
        if len(self.body) < size:  # given up in the middle; the simulator would wait for the rest
            self.close_connection = True
            return
        found = _METHOD.search(self.body)
        self._serve(found[1].decode() if found else "?")

    def _serve(self, method: str) -> None:
        front = self.server
        found = _COOKIE.search(self.headers.get("Cookie", ""))
        cookie = found[1] if found else ""
        with front.lock:
            front.calls[method] += 1
            front.bodies.append(self.body)
            front.cookies |= {cookie} - {""}
            front.running += 1
            front.most_at_once = max(front.most_at_once, front.running)
        try:
            action = front.action_for(method, cookie)
            (action or _Handler.forward)(self)
        finally:
            with front.lock:
                front.running -= 1

    def forward(self) -> None:
        """Ask the simulator, say what it says."""
        backend = http.client.HTTPConnection(self.server.backend, timeout=30)
        with contextlib.closing(backend):
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
            backend.request(self.command, self.path, self.body or None, headers)
            answer = backend.getresponse()
            body = answer.read()
        self.say(answer.status, answer.getheader("Content-Type", ""), body, answer.getheader("Set-Cookie"))

    def say(self, status: int, kind: str, body: bytes, cookie: str | None = None) -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(body)


def fault(name: str, message: str = "", fields: str = "") -> Action:
    """Answer with a SOAP fault of this type; ``fields`` is XML."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>ServerFaultCode</faultcode><faultstring>{message}</faultstring>"
        f'<detail><{name}Fault xmlns="urn:vim25" xsi:type="{name}">{fields}</{name}Fault></detail>'
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    )
    return lambda handler: handler.say(500, "text/xml; charset=utf-8", text.encode())


def answer(status: int, kind: str, body: bytes) -> Action:
    """Answer with this."""
    return lambda handler: handler.say(status, kind, body)


def hang(handler: _Handler) -> None:
    """Say nothing until the front is told to be as usual."""
    handler.server.hung.release()
    handler.server.released.wait()
    handler.close_connection = True


async def until_hung(front: Front, count: int = 1) -> None:
    """Wait until so many calls hang at the front."""
    for _ in range(count):
        await asyncio.to_thread(front.hung.acquire)


def slowly(handler: _Handler) -> None:
    """Start an answer that would take hours: a byte, then silence, then a byte: never a socket's timeout."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/xml")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.server.hung.release()
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()
    handler.close_connection = True


def drop(handler: _Handler) -> None:
    """Close without a word."""
    handler.close_connection = True


def half(handler: _Handler) -> None:
    """Close in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/xml")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"<?xml")
    handler.close_connection = True


@contextlib.contextmanager
def fronted(backend: str, certificate: trustme.LeafCert) -> Iterator[Front]:
    """Run a front before the simulator at ``backend`` (without TLS) until the block ends."""
    with Front(backend, certificate) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield front
        finally:
            front.as_usual()
            front.shutdown()
            thread.join()
