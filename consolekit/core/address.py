"""Core: how places are written: addresses, host names, networks. Pure text; knows no socket.

No error of this module quotes the text that it could not read.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import attrs

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_CONNECT_FORMS = "is written host:port, [IPv6 address]:port or unix:/path"
_LISTEN_FORMS = "is written host:port, [IPv6 address]:port or :port (every address of this machine)"
# a unix socket's path must fit sun_path, 108 bytes with its final zero (unix(7))
_LONGEST_PATH = 107
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what an operator means by ":6080"; the default is loopback


@attrs.frozen
class Address:
    """Where something listens: ``host`` and ``port``, or the ``path`` of a unix socket.

    Attributes:
        host: A name or an address, IPv6 without brackets.
        port: TCP port; for a listener of ours, 0 lets the system choose.
        path: Of a unix socket; then the others mean nothing.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read a place to connect to: ``host:port``, ``[v6]:port`` or ``unix:/path``.

        Raises:
            ValueError: it is none of these; the text is not quoted.
        """
        if text.startswith("unix:"):
            return cls(path=_socket_path(text.removeprefix("unix:")))
        host, colon, port = text.rpartition(":")
        if not colon or not is_port(port):
            raise ValueError(f"{_CONNECT_FORMS}; the port is between 1 and 65535")
        return cls(host=parse_host(host, _CONNECT_FORMS), port=int(port))

    @classmethod
    def parse_listen(cls, text: str) -> Address:
        """Read a place to listen at: ``host:port``, ``[v6]:port`` or ``:port``; port 0 may be.

        Raises:
            ValueError: it is none of these; the text is not quoted.
        """
        if text.startswith("unix:"):
            raise ValueError(f"{_LISTEN_FORMS}; a unix socket cannot be listened on")
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError(f"{_LISTEN_FORMS}; the port is missing")
        if not _PORT.fullmatch(port) or int(port) > 65535:
            raise ValueError(f"{_LISTEN_FORMS}; the port is a number from 0 to 65535")
        return cls(host=parse_host(host, _LISTEN_FORMS) if host else EVERYWHERE, port=int(port))

    @classmethod
    def at(cls, host: str, port: int) -> Address:
        """The place that somebody else has named in two parts, IPv6 without brackets.

        Raises:
            ValueError: it cannot be meant; nothing is quoted.
        """
        return cls.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it."""
        if self.path or self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_wildcard(self) -> bool:
        """True if it stands for every address of the machine, and so for no name of it."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False


def is_port(text: str) -> bool:
    """True for a number from 1 to 65535 in plain digits."""
    return _PORT.fullmatch(text) is not None and 1 <= int(text) <= 65535


def is_host(text: str) -> bool:
    """True for a name or an address and nothing else; IPv6 with brackets or without."""
    if ":" not in text:
        return _NAME.fullmatch(text) is not None
    try:
        return bool(ipaddress.IPv6Address(text.strip("[]")))
    except ValueError:
        return False


def parse_host(text: str, forms: str = _CONNECT_FORMS) -> str:
    """Read the host of a ``host:port``: IPv6 stands in brackets there.

    Args:
        text: A name or an address.
        forms: What to say first where it is neither.

    Raises:
        ValueError: it is something else.
    """
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError("holds no IPv6 address between its brackets") from None
    if ":" in text:
        raise ValueError(f"{forms}; an IPv6 address stands in brackets")
    if not _NAME.fullmatch(text):
        raise ValueError(f"{forms}; the host is a name or an address and nothing else")
    return text


def wrong_networks(texts: Iterable[str]) -> list[int]:
    """The places of those that are no network such as ``10.0.0.0/8``, host bits not set."""
    return [number for number, text in enumerate(texts) if not _is_network(text)]


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _socket_path(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or "\0" in text:
        raise ValueError(f"{_CONNECT_FORMS}; the path is absolute and has no '..'")
    if len(text.encode()) > _LONGEST_PATH:
        raise ValueError(f"names a socket whose path is over {_LONGEST_PATH} bytes long")
    return str(path)
