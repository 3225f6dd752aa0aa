"""Providers, VNC: VeNCrypt 0.2 (security type 19): TLS inside RFB, then the login inside TLS.

Pure: no asyncio, socket, ssl, time, logging. The certificate is verified by whoever carries out
``start_tls``; nothing secret is sent before that has returned.

After the version, the server's 0 means yes; after the subtype, its 1 does.
"""

from __future__ import annotations

import struct

from consolekit.core.errors import HandshakeError, NoCommonSecurity
from consolekit.core.handshake import SERVER, Script, Steps, read, send, start_tls
from consolekit.providers.vnc.security import (
    TLS_PLAIN,
    TLS_VNC,
    X509_NONE,
    X509_PLAIN,
    X509_VNC,
    VncPolicy,
    answer_challenge,
    names,
)

_VERSION = (0, 2)


def negotiate(policy: VncPolicy) -> Script:
    """Agree on a subtype, start TLS, log in; the caller reads SecurityResult.

    Raises:
        NoCommonSecurity: no subtype that the policy allows.
        HandshakeError: another version, or the server refuses.
    """
    yield from _agree_on_version()
    subtype = yield from _choose_subtype(policy)
    (accepted,) = yield from read(SERVER, 1)
    if accepted != 1:
        raise HandshakeError(f"the server takes back its VeNCrypt subtype {names([subtype])}")
    yield from start_tls(SERVER, anonymous=subtype < X509_NONE)
    if subtype in (X509_VNC, TLS_VNC):
        yield from answer_challenge(policy)
    elif subtype in (X509_PLAIN, TLS_PLAIN):
        yield from _send_plain(policy)


def _agree_on_version() -> Script:
    major, minor = yield from read(SERVER, 2)
    if (major, minor) < _VERSION:
        raise HandshakeError(f"the server speaks VeNCrypt {major}.{minor}; 0.2 is needed")
    yield from send(SERVER, bytes(_VERSION))
    (refused,) = yield from read(SERVER, 1)
    if refused:
        raise HandshakeError("the server refuses VeNCrypt 0.2")


def _choose_subtype(policy: VncPolicy) -> Steps[int]:
    (count,) = yield from read(SERVER, 1)
    offered = struct.unpack(f">{count}I", (yield from read(SERVER, 4 * count)))
    chosen = next((kind for kind in policy.subtypes() if kind in offered), None)
    if chosen is None:
        raise NoCommonSecurity(
            f"the server offers VeNCrypt with {names(offered)}; allowed here: {names(policy.subtypes())}"
        )
    yield from send(SERVER, struct.pack(">I", chosen))
    return chosen


def _send_plain(policy: VncPolicy) -> Script:
    username = policy.username.encode()
    password = policy.password.reveal().encode() if policy.password else b""
    lengths = struct.pack(">II", len(username), len(password))
    yield from send(SERVER, lengths + username + password)
