"""Config: what a browser calls us: hosts, origins, the base URL. Pure text; knows no socket.

No error of this module quotes the text that it could not read.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from consolekit.core.address import is_port, parse_host

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_HOST_FORMS = "is written host or host:port"


def check_host(text: str) -> None:
    """See that this is ``host`` or ``host:port``, as a browser's Host header has it (RFC 9110, 7.2).

    Raises:
        ValueError: it is something else.
    """
    if "/" in text or "@" in text or "*" in text:
        raise ValueError("is written host or host:port, without scheme, path or pattern")
    name, colon, port = text.rpartition(":")
    if colon and not text.endswith("]"):
        if not is_port(port):
            raise ValueError("has a port that is not a number from 1 to 65535")
        parse_host(name, _HOST_FORMS)
    else:
        parse_host(text, _HOST_FORMS)


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
