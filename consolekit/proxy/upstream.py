"""Proxy: the opening handshake with a server that speaks websocket (RFC 6455, 4.1): we are its client.

Knows channels and endpoints; knows no viewer and no relay. What is asked is made and judged before there is a
connection; it is sent only after the server's certificate was found right. The answer is read without losing
what follows it: a 101 and the first frames often share a segment.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
from typing import Final

import attrs

from consolekit.core.errors import (
    EndpointRefused,
    HandshakeError,
    PeerClosed,
    TicketRefused,
    UpstreamRefused,
)
from consolekit.core.types import Endpoint, Transport
from consolekit.net.channels import Channel, receive, send_all
from consolekit.proxy.upgrade import accept_value

MAX_HEAD: Final = 16 * 1024
MAX_LINES: Final = 100

_SECRET = "{secret}"  # noqa: S105 - the placeholder, not a secret
_READ = 4096
_DEFAULT_PORTS = {Transport.WS: 80, Transport.WSS: 443}
_TICKET_STATUS = (401, 403, 404, 410)
_OWN = frozenset({"host", "upgrade", "connection", "content-length", "transfer-encoding"})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?")  # RFC 9110, 5.5
_TARGET = re.compile(r"/[!\"$-~]*")  # no space, no control, no fragment (RFC 6455, 3)
_HOST = re.compile(r"[0-9A-Za-z_.-]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_BEGINNING = b"HTTP/1.1 "


@attrs.frozen(kw_only=True)
class Request:
    """What to ask a websocket server, and by what to know its answer.

    Attributes:
        data: The request, whole; holds what is secret, so it is not printed.
        accept: What ``Sec-WebSocket-Accept`` must be.
        subprotocols: What is offered.
        ticketed: Whether a one-time ticket is in it, so that a refusal may be the ticket's.
        address: Of the server, for people.
    """

    data: bytes = attrs.field(repr=False)
    accept: str
    subprotocols: tuple[str, ...]
    ticketed: bool
    address: str


def make_request(endpoint: Endpoint) -> Request:
    """Write the opening handshake. No Origin, which is a browser's; no extension, so none can be agreed on.

    Raises:
        EndpointRefused: host, path, a header or a subprotocol cannot stand in a request. Nothing is quoted.
    """
    host = _host(endpoint)  # first, so that no later refusal names one that is none
    key = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
    lines = [
        f"GET {_target(endpoint)} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    if endpoint.subprotocols:
        lines.append(f"Sec-WebSocket-Protocol: {_offer(endpoint)}")
    lines += _headers(endpoint)
    return Request(
        data="\r\n".join([*lines, "", ""]).encode("latin-1"),
        accept=accept_value(key),
        subprotocols=endpoint.subprotocols,
        ticketed=bool(endpoint.secret),
        address=endpoint.address,
    )


def _target(endpoint: Endpoint) -> str:
    target = endpoint.path or "/"
    if _SECRET in target:
        if not endpoint.secret:
            raise EndpointRefused(f"{endpoint.address}: the path wants a secret and there is none")
        target = target.replace(_SECRET, endpoint.secret.reveal())
    if not _TARGET.fullmatch(target):
        raise EndpointRefused(f"{endpoint.address}: the path cannot be asked for")
    return target


def _host(endpoint: Endpoint) -> str:
    """The Host header (RFC 9110, 7.2): no port where it is the scheme's, no scope (RFC 6874, 1)."""
    host, _, _ = endpoint.host.partition("%")
    try:
        address = ipaddress.ip_address(host)
        host = f"[{host}]" if address.version == 6 else host
    except ValueError:
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            host = ""
        if not _HOST.fullmatch(host):
            raise EndpointRefused("the host of a websocket endpoint is no name and no address") from None
    usual = endpoint.port == _DEFAULT_PORTS.get(endpoint.transport)
    return host if usual else f"{host}:{endpoint.port}"


def _offer(endpoint: Endpoint) -> str:
    names = endpoint.subprotocols
    if len(set(names)) < len(names) or not all(_TOKEN.fullmatch(name) for name in names):
        raise EndpointRefused(f"{endpoint.address}: a subprotocol is no word, or is named twice")
    return ", ".join(names)


def _headers(endpoint: Endpoint) -> list[str]:
    lines = []
    for name, value in endpoint.headers:
        text = value.reveal()
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(text):
            raise EndpointRefused(f"{endpoint.address}: a header cannot stand in a request")
        if name.lower() in _OWN or name.lower().startswith("sec-websocket-"):
            raise EndpointRefused(f"{endpoint.address}: the header {name} is not the provider's to set")
        lines.append(f"{name}: {text}")
    return lines


async def upgrade(channel: Channel, request: Request) -> bytes:
    """Send the request and wait for a good answer; the deadline is the caller's ``asyncio.timeout``.

    Returns:
        What the server sent behind its answer: the first bytes of its frames.

    Raises:
        UpstreamRefused: it answered with another status than 101.
        TicketRefused: the same, and it may well be the ticket's fault.
        PeerClosed: it closed, or the connection broke.
        HandshakeError: the answer is not what RFC 6455 and our request allow.
    """
    head = b""
    try:
        await send_all(channel, request.data)
        while (rest := read_answer(head, request)) is None:
            data = await receive(channel, _READ)
            if not data:
                raise PeerClosed(f"{request.address}: closed in the middle of the websocket handshake")
            head += data
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise PeerClosed(f"{request.address}: broke off the websocket handshake: {reason}") from exc
    return rest


def read_answer(data: bytes, request: Request) -> bytes | None:
    """Judge what has come of the answer; each wrong thing as soon as it is there.

    Returns:
        What follows the answer's head; None while the head is not whole.

    Raises:
        UpstreamRefused: another status than 101.
        TicketRefused: the same, and it may well be the ticket's fault.
        HandshakeError: the answer is not what RFC 6455 and our request allow.
    """
    if data[: len(_BEGINNING)] != _BEGINNING[: len(data)]:
        raise HandshakeError(f"{request.address}: does not answer as an HTTP/1.1 server")
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    lines = data[: end if end >= 0 else MAX_HEAD].split(b"\r\n")
    if end >= 0 or len(lines) > 1:
        _check_status(lines[0], request)
    if len(lines) - (end < 0) > MAX_LINES or (end < 0 and len(data) >= MAX_HEAD):
        raise HandshakeError(f"{request.address}: the head of its answer does not end")
    if end < 0:
        return None
    _check_agreement(_fields(lines[1:], request), request)
    return data[end + 4 :]


def _check_status(line: bytes, request: Request) -> None:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise HandshakeError(f"{request.address}: does not answer as an HTTP/1.1 server")
    status = int(match[1])
    if status == 101:
        return
    kind = TicketRefused if request.ticketed and status in _TICKET_STATUS else UpstreamRefused
    refusal = kind(f"{request.address}: answered the websocket request with HTTP status {status}")
    refusal.answered = status
    raise refusal


def _fields(lines: list[bytes], request: Request) -> dict[str, list[str]]:
    """The header lines by lower-case name, one entry a line."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        value = value.strip(" \t")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise HandshakeError(f"{request.address}: a header of its answer is malformed")
        fields.setdefault(name.lower(), []).append(value)
    return fields


def _check_agreement(fields: dict[str, list[str]], request: Request) -> None:
    """RFC 6455, 4.1: what the client must check; and a subprotocol must be chosen where any is offered."""
    wrong = ""
    chosen = fields.get("sec-websocket-protocol", [])
    if _words(fields, "upgrade") != ["websocket"] or "upgrade" not in _words(fields, "connection"):
        wrong = "does not say that it upgrades to websocket"
    elif fields.get("sec-websocket-accept") != [request.accept]:
        wrong = "its Sec-WebSocket-Accept is not the answer to our key"
    elif any(fields.get("sec-websocket-extensions", [])):
        wrong = "uses an extension that nobody offered"
    elif request.subprotocols and not chosen:
        wrong = "chose none of the subprotocols"
    elif chosen and (len(chosen) > 1 or chosen[0] not in request.subprotocols):
        wrong = "chose a subprotocol that was not offered"
    if wrong:
        raise HandshakeError(f"{request.address}: {wrong}")


def _words(fields: dict[str, list[str]], name: str) -> list[str]:
    return [word.strip().lower() for line in fields.get(name, ()) for word in line.split(",")]
