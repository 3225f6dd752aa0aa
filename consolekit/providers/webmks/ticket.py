"""Providers, WebMKS: a vSphere ticket becomes an endpoint: where to connect, and which certificate is right.

Pure: asks and resolves nothing. What a hypervisor tells is outside data like any other: a name that is none,
a port out of range or an end of line in any field is refused here, before anything is sent anywhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import attrs
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificates

from consolekit.core.errors import HypervisorProtocol
from consolekit.core.types import Endpoint, Secret, TlsPolicy, Transport
from consolekit.providers.vsphere import HostRules, Ticket, canonical_host
from consolekit.providers.webmks.authd import check_word

WEBMKS_PORT = 443
AUTHD_PORT = 902

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")
# what may stand in a path unescaped, but for / and % (RFC 3986, 3.3): a ticket is one segment of it
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]{1,1024}")
_TARGET = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/%?-]{0,2047}")
_PRINTED = re.compile(r"[!-~]{1,4096}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@attrs.frozen(kw_only=True)
class TicketRules(HostRules):
    """What an operator decides about the hosts that tickets name.

    Attributes:
        allow_sha1: Whether a certificate may be known by its SHA-1 alone, where a host tells nothing better.
        ca_file: PEM file of the CAs that sign the hosts' certificates, for hosts that tell no digest.
        host_pins: SHA-256 of hosts' certificates, by the name in the ticket, as ``canonical_host`` writes it;
            for such a host nothing else counts.
        host_map: As for every host that vSphere names.
        allowed_networks: Likewise.
    """

    allow_sha1: bool = False
    ca_file: Path | None = None
    host_pins: Mapping[str, str] = attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True)
class AuthdEndpoint(Endpoint):
    """An endpoint with what the conversation on port 902 must know besides.

    Attributes:
        cfg_file: The machine's configuration file on its host.
        allow_sha1: Whether the second certificate may be known by its SHA-1.
    """

    cfg_file: str = ""
    allow_sha1: bool = False


def webmks_endpoint(ticket: Ticket, rules: TicketRules) -> Endpoint:
    """Where a ``webmks`` ticket leads: a websocket of the host that runs the machine.

    Raises:
        HypervisorProtocol: a field of the ticket cannot be meant; says which, quotes nothing.
    """
    host, port, path, secret = _from_url(ticket) if ticket.url else _from_parts(ticket)
    return Endpoint(
        transport=Transport.WSS,
        host=rules.place_of(host),
        port=port,
        path=path,
        tls=_policy(ticket, rules, host),
        subprotocols=("binary",),
        allowed_networks=rules.allowed_networks,
        secret=secret,
    )


def authd_endpoint(ticket: Ticket, rules: TicketRules) -> AuthdEndpoint:
    """Where an ``mks`` ticket leads: the authentication daemon of the host that runs the machine.

    Raises:
        HypervisorProtocol: a field of the ticket cannot be meant; says which, quotes nothing.
    """
    try:
        check_word("ticket", ticket.ticket.reveal())
        check_word("path of the machine's configuration", ticket.cfg_file)
    except ValueError as exc:
        raise _wrong(str(exc)) from None
    host = _host(ticket.host or ticket.asked_host)
    return AuthdEndpoint(
        transport=Transport.TCP,
        host=rules.place_of(host),
        port=_port(ticket.port or AUTHD_PORT),
        tls=_policy(ticket, rules, host),
        allowed_networks=rules.allowed_networks,
        secret=ticket.ticket,
        cfg_file=ticket.cfg_file,
        allow_sha1=rules.allow_sha1,
    )


def _from_parts(ticket: Ticket) -> tuple[str, int, str, Secret]:
    if not _SEGMENT.fullmatch(ticket.ticket.reveal()):
        raise _wrong("the ticket is no word that can stand in a URL")
    host = _host(ticket.host or ticket.asked_host)
    return host, _port(ticket.port or WEBMKS_PORT), "/ticket/{secret}", ticket.ticket


def _from_url(ticket: Ticket) -> tuple[str, int, str, Secret]:
    """The parts of ``ticket.url``; the whole target is secret where it is not the usual one."""
    assert ticket.url is not None  # noqa: S101 - the caller has asked
    url = _split(ticket.url.reveal())
    if url.scheme != "wss":
        raise _wrong("the ticket's URL is not of the scheme wss")
    if "@" in url.netloc or url.fragment:
        raise _wrong("the ticket's URL names a user or a fragment")
    try:
        port = url.port
    except ValueError:
        raise _wrong("the ticket's URL has a port that is none") from None
    target = url.path + (f"?{url.query}" if url.query else "")
    if not _TARGET.fullmatch(target):
        raise _wrong("the ticket's URL has no path that can be asked for")
    path, secret = "{secret}", Secret(target)
    if target == f"/ticket/{ticket.ticket.reveal()}":
        path, secret = "/ticket/{secret}", ticket.ticket
    return _host(url.hostname or ""), _port(WEBMKS_PORT if port is None else port), path, secret


def _split(text: str) -> SplitResult:
    # urlsplit drops line ends and tabs before it looks; they are refused before that
    if not _PRINTED.fullmatch(text):
        raise _wrong("the ticket's URL holds spaces, control characters or letters that no URL has")
    try:
        return urlsplit(text)
    except ValueError:
        raise _wrong("the ticket's URL cannot be read") from None


def _host(text: str) -> str:
    """A name or address as it is connected to: an IPv6 address without its brackets."""
    inner = text.removeprefix("[").removesuffix("]")
    if ":" in inner:
        try:  # a scope (RFC 4007, 11) means something on one machine only, and may hold anything
            return str(ipaddress.IPv6Address(inner.replace("%", " ")))
        except ValueError:
            raise _wrong("the ticket's host is no IPv6 address") from None
    if not _NAME.fullmatch(text):
        raise _wrong("the ticket's host is no name and no address")
    return text


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise _wrong("the ticket's port is out of range")
    return port


def _policy(ticket: Ticket, rules: TicketRules, host: str) -> TlsPolicy:
    """The operator's own pin; else the strongest that the ticket allows.

    That is SHA-256, the certificate itself, SHA-1 by leave, else a CA.
    """
    own = rules.host_pins.get(canonical_host(host))
    pin = own or _told_sha256(ticket) or _sha256_of(ticket.certificate_pem)
    if pin is not None:
        return TlsPolicy(pin_sha256=pin)
    if rules.allow_sha1 and ticket.ssl_thumbprint:
        return TlsPolicy(pin_sha1=_digest(ticket.ssl_thumbprint, _SHA1))
    return TlsPolicy(ca_file=rules.ca_file, server_name=host)


def _told_sha256(ticket: Ticket) -> str | None:
    """The one SHA-256 in ``certThumbprintList``; an entry that names no algorithm is known by its length."""
    found = set()
    for algorithm, digest in ticket.cert_thumbprints:
        name = re.sub(r"[^a-z0-9]", "", algorithm.lower())
        if name == "sha256" or (not name and len(_bare(digest)) == 64):
            found.add(_digest(digest, _SHA256))
    if len(found) > 1:
        raise _wrong("the ticket names several certificates")
    return found.pop() if found else None


def _sha256_of(pem: str) -> str | None:
    """The digest of the first certificate of a PEM text, which is the host's own."""
    if not pem.strip():
        return None
    try:
        certificate = load_pem_x509_certificates(pem.encode())[0]
    except ValueError:
        raise _wrong("the ticket's certificate cannot be read") from None
    return certificate.fingerprint(SHA256()).hex()


def _bare(digest: str) -> str:
    return re.sub(r"[: ]", "", digest).lower()


def _digest(text: str, form: re.Pattern[str]) -> str:
    bare = _bare(text)
    if not form.fullmatch(bare):
        raise _wrong("a thumbprint in the ticket is no digest of its kind")
    return bare


def _wrong(reason: str) -> HypervisorProtocol:
    return HypervisorProtocol(reason)
