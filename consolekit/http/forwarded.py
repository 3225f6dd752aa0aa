"""HTTP: whose address a request counts for when a proxy is in front. Pure; knows no request and no console.

``X-Forwarded-For`` alone is read: scheme and host of links come from the configured base URL, so nothing here
would use ``X-Forwarded-Proto``, ``X-Forwarded-Host`` or ``Forwarded`` (RFC 7239).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from consolekit.core.networks import Networks, canonical

_MOST_HOPS = 16  # trusted proxies in a row; each appends whom it saw
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


def viewer_address(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The address of whoever talks to the first of our proxies.

    Each proxy appends the address that it saw, so the list is read from its right end, for as long as who
    appended it is trusted; what stands further left is hearsay, and may be anything.

    Args:
        peer: Who has connected to us.
        forwarded: Every ``X-Forwarded-For`` header of the request, in order.
        trusted: The networks of our proxies.

    Raises:
        ValueError: a trusted proxy says what is no address. If such a request counted for the proxy itself,
            it would pass the limits that are meant for its viewer.
    """
    if peer not in trusted or not forwarded:
        return peer
    address = peer
    for text in reversed(",".join(forwarded).rsplit(",", _MOST_HOPS)):
        address = _address(text.strip(" \t"))
        if address not in trusted:
            break
    return address


def _address(text: str) -> str:
    """An address as proxies write it: some add the port."""
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    if "%" in text:  # a zone means something on the proxy's machine alone
        raise ValueError("holds an address with a zone")
    return canonical(text)
