"""Test support: a Keystone v3 and a Nova of one's own, as their API references describe them.

Importable as ``novastub``. Answers "Show Console Connection Information" from its published samples for the
microversions 2.31 and 2.99, counts what it is asked, and fails on demand. It refuses what the real ones
refuse: a service token that it has not given or has dropped, and microversions that it does not know.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

PASSWORD = "service-password"
LATEST = (2, 99)


@attrs.define
class NovaStub:
    """A running stub; its attributes may be changed while it runs.

    Attributes:
        url: Where it is.
        latest: The youngest microversion that it knows.
        consoles: What tokens stand for, by token.
        fault: A status to answer every look-up with, 0 for none.
        body: What to answer instead of JSON, None for none.
        auth_fault: A status to answer every login with, 0 for none.
        trusts: Whether Nova believes any service token.
        released: While unset, look-ups hang.
        logins: How many logins there were.
        lookups: How many look-ups, by status.
        versions: The microversions that were asked for.
        service_tokens: Good service tokens.
    """

    url: str = ""
    latest: tuple[int, int] = LATEST
    consoles: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    fault: int = 0
    body: bytes | None = None
    auth_fault: int = 0
    trusts: bool = True
    released: threading.Event = attrs.field(factory=threading.Event)
    logins: int = 0
    lookups: dict[int, int] = attrs.field(factory=dict)
    versions: list[str] = attrs.field(factory=list)
    service_tokens: set[str] = attrs.field(factory=set)
    every_token: set[str] = attrs.field(factory=set)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def auth_url(self) -> str:
        return f"{self.url}/identity/v3"

    def auth(self, **more: str) -> dict[str, str]:
        """What a configuration's ``auth`` table holds."""
        domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
        return {
            "auth_url": self.auth_url, "username": "consolekit", "password": PASSWORD,
            "project_name": "service", **domains, **more,
        }  # fmt: skip

    def add(self, host: str = "127.0.0.1", port: int = 5900, access: str | None = None, **more: Any) -> str:
        """A console as a driver has named it; gives its token."""
        token = str(uuid.uuid4())
        self.consoles[token] = {
            "instance_uuid": "b48316c5-71e8-45e4-9884-6c78055b9b13",  # the sample's
            "host": host,
            "port": port,
            "internal_access_path": access,
            **more,
        }
        return token

    def expire(self) -> None:
        """The service tokens are good no more."""
        with self._lock:
            self.service_tokens.clear()

    def login(self, data: dict[str, Any]) -> str | None:
        with self._lock:
            self.logins += 1
            if data["auth"]["identity"]["password"]["user"]["password"] != PASSWORD:
                return None
            token = f"gAAAA{uuid.uuid4().hex}"
            self.service_tokens.add(token)
            self.every_token.add(token)
            return token

    def look_up(self, token: str, service_token: str, version: str) -> tuple[int, bytes]:
        with self._lock:
            self.versions.append(version)
            status, body = self._answer(token, service_token, version)
            self.lookups[status] = self.lookups.get(status, 0) + 1
        return status, body

    def _answer(self, token: str, service_token: str, version: str) -> tuple[int, bytes]:
        if not self.trusts or service_token not in self.service_tokens:
            return 401, b'{"error": {"code": 401, "title": "Unauthorized", "message": "Log in."}}'
        asked = tuple(int(part) for part in version.split("."))
        if asked > self.latest:
            return 406, b'{"computeFault": {"code": 406, "message": "Version is not supported"}}'
        if self.fault or self.body is not None:
            return self.fault or 200, b"{}" if self.body is None else self.body
        if asked < (2, 31):
            return 400, b'{"badRequest": {"code": 400, "message": "The requested console type is invalid."}}'
        if token not in self.consoles:
            return 404, b'{"itemNotFound": {"code": 404, "message": "Token not found"}}'
        console = dict(self.consoles[token])
        if asked >= (2, 99):
            console.setdefault("tls_port", None)
        else:
            console.pop("tls_port", None)
        return 200, json.dumps({"console": console}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: NovaStub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/identity/v3":
            links = [{"rel": "self", "href": self.stub.auth_url}]
            version = {"id": "v3.14", "status": "stable", "links": links, "media-types": []}
            self._send(200, json.dumps({"version": version}).encode())
            return
        start = "/compute/v2.1/os-console-auth-tokens/"
        if not self.path.startswith(start):
            self._send(404, b"{}")
            return
        self.stub.released.wait()
        header = self.headers.get("OpenStack-API-Version", "compute 2.1").split()
        service_token = self.headers.get("X-Auth-Token", "")
        self._send(*self.stub.look_up(self.path.removeprefix(start), service_token, header[1]))

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self.stub.login(data)
        if self.stub.auth_fault or token is None:
            self._send(self.stub.auth_fault or 401, b'{"error": {"code": 401, "message": "Not you."}}')
            return
        endpoint = {"interface": "internal", "region_id": "one", "region": "one", "id": "e",
                    "url": f"{self.stub.url}/compute/v2.1"}  # fmt: skip
        catalog = [{"type": "compute", "name": "nova", "id": "c", "endpoints": [endpoint]}]
        body = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "consolekit", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "service", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "admin"}],
            "catalog": catalog,
            "audit_ids": ["a"],
        }
        self._send(201, json.dumps({"token": body}).encode(), {"X-Subject-Token": token})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # who waited for a hanging answer has gone
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def nova() -> Iterator[NovaStub]:
    """Run a stub on a free port of loopback."""
    stub = NovaStub()
    stub.released.set()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": stub}))
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stub
    finally:
        stub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
