"""Testing: what a well-formed endpoint is. Pure; connects to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from consolekit.core.address import wrong_networks
from consolekit.core.types import Endpoint, Secret, Transport

_HOST = re.compile(r"[^\s/\[\]@?#\x00-\x20]{1,255}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_TARGET = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[ -~\t\x80-\xff]*")
_LONGEST_SOCKET_PATH = 107
_PIN_SIZES = {"pin_sha256": 64, "pin_sha1": 40}


def faults_of(endpoint: object) -> list[str]:
    """What is wrong with what ``open`` or ``adopt`` gave, and what would be right; empty where nothing is."""
    if not isinstance(endpoint, Endpoint):
        return [f"it is a {type(endpoint).__name__}: give an Endpoint"]
    return list(_faults(endpoint))


def _faults(endpoint: Any) -> Iterator[str]:  # Any: what annotations promise is not taken for granted
    if not isinstance(endpoint.transport, Transport):
        yield "transport is none of Transport's members"
    elif endpoint.transport is Transport.UNIX:
        yield from _of_socket(endpoint)
    else:
        yield from _of_address(endpoint)
    if endpoint.transport in (Transport.WS, Transport.WSS):
        yield from _of_websocket(endpoint)
    if not isinstance(endpoint.secret, Secret | None):
        yield "secret is no Secret: wrap the text in Secret(...), so that nothing prints it"
    if wrong_networks(endpoint.allowed_networks):
        yield "allowed_networks holds what is no network such as 10.0.0.0/8 (no host bits set)"
    yield from _of_tls(endpoint.tls)


def _of_socket(endpoint: Any) -> Iterator[str]:
    path = endpoint.path
    if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path:
        yield "path of a unix socket must be absolute, without '..' and NUL"
    if len(path.encode()) > _LONGEST_SOCKET_PATH:
        yield f"path of a unix socket must have at most {_LONGEST_SOCKET_PATH} bytes"


def _of_address(endpoint: Any) -> Iterator[str]:
    if not (isinstance(endpoint.host, str) and _HOST.fullmatch(endpoint.host)):
        yield "host must be a name or an address, without brackets, port, user or scheme"
    if type(endpoint.port) is not int or not 0 < endpoint.port < 65536:
        yield "port must be an int from 1 to 65535"


def _of_websocket(endpoint: Any) -> Iterator[str]:
    secret = endpoint.secret.reveal() if isinstance(endpoint.secret, Secret) else ""
    if not _TARGET.fullmatch(endpoint.path.replace("{secret}", secret) or "/") or "#" in endpoint.path:
        yield "path of a websocket begins with / and is printable ASCII without # and blanks: encode it"
    if "{secret}" in endpoint.path and not endpoint.secret:
        yield "path holds {secret}, and there is no secret to put there"
    for name, value in endpoint.headers:
        if not _TOKEN.fullmatch(name):
            yield "headers: a name is no token (RFC 9110, 5.6.2)"
        if not isinstance(value, Secret):
            yield f"headers: the value of {name} is no Secret: wrap it in Secret(...)"
        elif not _VALUE.fullmatch(value.reveal()):
            yield f"headers: the value of {name} holds line breaks or other control characters"
    if not all(_TOKEN.fullmatch(name) for name in endpoint.subprotocols):
        yield "subprotocols: one is no token (RFC 6455, 4.1)"


def _of_tls(policy: Any) -> Iterator[str]:
    for name, size in _PIN_SIZES.items():
        pin = getattr(policy, name)
        if pin is not None and not re.fullmatch(f"[0-9A-Fa-f]{{{size}}}", pin.replace(":", "")):
            yield f"tls.{name} must be {size} hex digits"
    if policy.client_key is not None and policy.client_cert is None:
        yield "tls.client_key stands without tls.client_cert"
