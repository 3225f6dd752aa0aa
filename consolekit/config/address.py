"""Config: how places are written: listen addresses, origins, the base URL. Pure text; knows no socket.

No error of this module quotes the text that it could not read.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import attrs

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_FORMS = "is written host:port, [IPv6 address]:port or :port (every address of this machine)"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what an operator means by ":6080"; the default is loopback


@attrs.frozen
class Address:
    """Where a listener listens.

    Attributes:
        host: A name or an address, IPv6 without brackets.
        port: TCP port; 0 lets the system choose.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port``, ``[v6]:port`` or ``:port``.

        Raises:
            ValueError: it is none of these.
        """
        if text.startswith("unix:"):
            raise ValueError(f"{_FORMS}; a unix socket cannot be listened on")
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError(f"{_FORMS}; the port is missing")
        if not _PORT.fullmatch(port) or int(port) > 65535:
            raise ValueError(f"{_FORMS}; the port is a number from 0 to 65535")
        return cls(_host(host) if host else EVERYWHERE, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it."""
        if self.host.lower() == "localhost":
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


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError("holds no IPv6 address between its brackets") from None
    if ":" in text:
        raise ValueError(f"{_FORMS}; an IPv6 address stands in brackets")
    if not _NAME.fullmatch(text):
        raise ValueError(f"{_FORMS}; the host is a name or an address and nothing else")
    return text


def check_host(text: str) -> None:
    """See that this is ``host`` or ``host:port``, as a browser's Host header has it (RFC 9110, 7.2).

    Raises:
        ValueError: it is something else.
    """
    if "/" in text or "@" in text or "*" in text:
        raise ValueError("is written host or host:port, without scheme, path or pattern")
    name, colon, port = text.rpartition(":")
    if colon and not text.endswith("]"):
        if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
            raise ValueError("has a port that is not a number from 1 to 65535")
        _host(name)
    else:
        _host(text)


def check_origin(text: str) -> None:
    """See that this is an origin as browsers send it: scheme, host, port (RFC 6454, 6.2).

    Raises:
        ValueError: it is something else.
    """
    scheme, separator, host = text.partition("://")
    if not separator or scheme not in ("http", "https") or host.endswith("/"):
        raise ValueError("is written https://host or https://host:port, without a path or a final slash")
    check_host(host)


def check_base_url(text: str) -> None:
    """See that this can stand in front of ``/console/``: http(s), a host, perhaps a path prefix.

    Raises:
        ValueError: it is something else.
    """
    try:
        url = urlsplit(text)
        has_port_zero = url.port == 0
    except ValueError:
        raise ValueError("is no URL: its host or port cannot be read") from None
    if url.scheme not in ("http", "https") or not url.netloc:
        raise ValueError("is written https://host[:port][/prefix]")
    if "@" in url.netloc or "?" in text or "#" in text or has_port_zero:
        raise ValueError("is written https://host[:port][/prefix], without user, query, fragment or port 0")
    check_host(url.netloc)
    if not _PREFIX.fullmatch(url.path.rstrip("/")):
        raise ValueError("has a path prefix with characters beyond letters, digits and . _ ~ - /")
