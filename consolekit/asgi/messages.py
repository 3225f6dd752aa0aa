"""ASGI: its scopes and messages, as far as they are needed here (ASGI 3.0; HTTP and WebSocket 2.4).

Pure; knows no console.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Container, Mapping, MutableMapping
from typing import Any, TypeAlias

import attrs

from consolekit.core.networks import Networks
from consolekit.http.forwarded import viewer_address
from consolekit.http.headers import MAX_HEADER_LINE, MAX_HEADERS, MAX_URI, SAFE_HEADERS
from consolekit.http.problems import CONTENT_TYPE, headers_of

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Unfit(Exception):
    """A request that is not answered with anything else.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


@attrs.frozen(kw_only=True)
class Request:
    """What is read of a scope.

    Attributes:
        method: Of HTTP; GET for a websocket.
        path: Below our prefix, decoded, with its first slash.
        headers: Values by lower-case name, one entry a header line.
        address: The viewer's, as far as it can be told.
    """

    method: str
    path: str
    headers: Mapping[str, list[str]] = attrs.field(repr=False)
    address: str

    @classmethod
    def of(cls, scope: Scope, *, prefix: str, hosts: Container[str], trusted: Networks) -> Request:
        """Read a scope; refuse what is too large, ambiguous, or meant for another host (RFC 9112, 3.2).

        Args:
            scope: Of type ``http`` or ``websocket``.
            prefix: What browsers' addresses of ours begin with.
            hosts: The names that are answered to.
            trusted: Networks of proxies whose ``X-Forwarded-For`` counts.

        Raises:
            Unfit: 400, 404, 414, 421 or 431.
        """
        headers = _headers(scope)
        peer = scope.get("client") or ("", 0)
        try:
            address = viewer_address(str(peer[0] or ""), headers.get("x-forwarded-for", ()), trusted)
        except ValueError:
            raise Unfit(400) from None
        if len(str(scope["path"]).encode()) + len(scope.get("query_string", b"")) > MAX_URI:
            raise Unfit(414)
        named = headers.get("host", [])
        if len(named) != 1:
            raise Unfit(400)
        if named[0].lower() not in hosts:
            raise Unfit(421)
        return cls(
            method=scope.get("method", "GET"), path=_below(scope, prefix), headers=headers, address=address
        )

    def header(self, name: str) -> str:
        """A header's last value; empty where there is none."""
        return self.headers.get(name, [""])[-1]


def _headers(scope: Scope) -> dict[str, list[str]]:
    lines = list(scope.get("headers", ()))
    if len(lines) > MAX_HEADERS or any(len(name) + len(value) > MAX_HEADER_LINE for name, value in lines):
        raise Unfit(431)
    found: dict[str, list[str]] = {}
    for name, value in lines:
        found.setdefault(bytes(name).decode("latin-1").lower(), []).append(bytes(value).decode("latin-1"))
    return found


def _below(scope: Scope, prefix: str) -> str:
    """The path below the prefix, whether or not what mounts us leaves its own part in it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    for whole in (path, root + path):
        if whole.startswith(f"{prefix}/"):
            return whole[len(prefix) :]
    raise Unfit(404)


async def answer(
    send: Send,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    kind: str = "http.response",
    head: bool = False,
) -> None:
    """Send a whole answer, with the headers that none goes without.

    Args:
        send: The server's.
        status: The HTTP status.
        body: All of it.
        headers: More headers, or others in place of those.
        kind: ``websocket.http.response`` where a websocket is refused.
        head: Whether only the headers are wanted.
    """
    lines = {**SAFE_HEADERS, **headers}
    if status != 304 and kind == "http.response":  # of a refused websocket some servers add a second one
        lines["Content-Length"] = str(len(body))
    encoded = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in lines.items()]
    await send({"type": f"{kind}.start", "status": status, "headers": encoded})
    await send({"type": f"{kind}.body", "body": b"" if head else body})


async def answer_problem(
    send: Send,
    document: Mapping[str, Any],
    *,
    kind: str = "http.response",
    head: bool = False,
    more: Mapping[str, str] | None = None,
) -> None:
    """Send a problem document; with ``more`` headers, where there are any. The rest as for ``answer``."""
    headers = {"Content-Type": CONTENT_TYPE, **headers_of(document["status"]), **(more or {})}
    await answer(send, document["status"], json.dumps(document).encode(), headers, kind=kind, head=head)
