"""Core: which addresses are of these networks. Pure text and numbers; knows no socket.

No error of this module quotes the text that it could not read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import attrs

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LONGEST = 64  # of an address as text, with room for a zone


def canonical(text: str) -> str:
    """An IP address in its one usual form; an IPv4 address in IPv6's clothes (RFC 4291, 2.5.5.2) is IPv4.

    Raises:
        ValueError: it is no address; nothing is quoted.
    """
    try:
        return str(_read(text))
    except ValueError:
        raise ValueError("is no IP address") from None


def _read(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if len(text) > _LONGEST:
        raise ValueError
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@attrs.frozen
class Networks:
    """Some networks; ``address in networks`` says whether one of them holds it."""

    _networks: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Networks:
        """Read networks such as ``10.0.0.0/8``, ``fd00::/8`` or ``192.0.2.1``, host bits not set.

        Raises:
            ValueError: one is none, or is every address there is; its place is told, its text is not.
        """
        found: list[_Network] = []
        for number, text in enumerate(texts):
            try:
                network = ipaddress.ip_network(text)
            except ValueError:
                raise ValueError(
                    f"entry {number} is no network such as 10.0.0.0/8 or 192.0.2.1 (no host bits set)"
                ) from None
            if not network.prefixlen:
                raise ValueError(f"entry {number} is every address; name the networks that are meant")
            found.append(network)
        return cls(tuple(found))

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether this is an address of one of them; what is no address is not."""
        if not self._networks:
            return False
        try:
            found = _read(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


NOWHERE = Networks()
"""No network at all."""
