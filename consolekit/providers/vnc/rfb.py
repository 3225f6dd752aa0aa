"""Providers, VNC: the RFB handshake scripts (RFC 6143, 7.1 and 7.2; its appendix A for 3.3 and 3.7).

Pure: no asyncio, socket, ssl, time, logging. The order is the point: everything that the server may
refuse is behind us before the viewer hears a byte, and the viewer never hears the password.
"""

from __future__ import annotations

import re
import struct

from consolekit.core.errors import HandshakeError, NoCommonSecurity
from consolekit.core.handshake import CLIENT, SERVER, Peer, Script, Steps, read, send
from consolekit.providers.vnc.security import (
    NONE,
    VENCRYPT,
    VNC_AUTH,
    VncPolicy,
    answer_challenge,
    names,
    printable,
    read_reason,
    read_result,
)
from consolekit.providers.vnc.vencrypt import negotiate

_BANNER = re.compile(rb"RFB (\d{3})\.(\d{3})\n")
_OFFERED = 8


def vnc_script(policy: VncPolicy) -> Script:
    """Log in to the server, then let the viewer in without a password.

    Ends before ClientInit: that and all that follows is relayed.

    Raises:
        NoCommonSecurity: the server offers nothing that the policy allows.
        AuthenticationRejected: it refuses the password.
        HandshakeError: either side breaks the protocol.
    """
    yield from log_in(policy)
    yield from welcome_viewer()


def log_in(policy: VncPolicy) -> Script:
    """The server's half: version, security, result. Touches SERVER only."""
    minor = yield from _read_version(SERVER)
    yield from send(SERVER, b"RFB 003.%03d\n" % minor)
    kind = yield from _dictated(policy) if minor == 3 else _chosen(policy)
    if kind == VENCRYPT:
        yield from negotiate(policy)
    elif kind == VNC_AUTH:
        yield from answer_challenge(policy)
    if minor >= 8 or kind != NONE:  # before 3.8, plain None has no result
        yield from read_result(policy, minor=minor)


def welcome_viewer() -> Script:
    """The viewer's half: play an RFB 3.8 server whose only security type is None.

    Raises:
        HandshakeError: the viewer is none, or chooses what was not offered.
    """
    yield from send(CLIENT, b"RFB 003.%03d\n" % _OFFERED)
    minor = yield from _read_version(CLIENT)
    if minor == 3:
        yield from send(CLIENT, struct.pack(">I", NONE))
        return
    yield from send(CLIENT, bytes([1, NONE]))
    (chosen,) = yield from read(CLIENT, 1)
    if chosen != NONE:
        raise HandshakeError(f"the viewer chose security type {names([chosen])}, which was not offered")
    if minor >= 8:
        yield from send(CLIENT, struct.pack(">I", 0))


def _read_version(peer: Peer) -> Steps[int]:
    """Read ProtocolVersion; gives the minor version to speak: 3, 7 or 8.

    What announces more than 3.8 within 3.x (003.889 is Apple's) speaks 3.8; what announces an
    unknown lesser one is to be taken for 3.3 (RFC 6143, 7.1.1).
    """
    banner = yield from read(peer, 12)
    match = _BANNER.fullmatch(banner)
    if match is None:
        raise HandshakeError(f"{peer.value} does not speak RFB: it begins {printable(banner)!r}")
    major, minor = int(match[1]), int(match[2])
    if major != 3:
        raise HandshakeError(f"{peer.value} speaks RFB {major}.{minor}; only 3.x is known here")
    return 8 if minor >= 8 else 7 if minor == 7 else 3


def _dictated(policy: VncPolicy) -> Steps[int]:
    """RFB 3.3: the server names the one type there is; VeNCrypt came later than that."""
    (kind,) = struct.unpack(">I", (yield from read(SERVER, 4)))
    if kind == 0:
        yield from _refused(policy)
    if kind not in policy.types() or kind == VENCRYPT:
        raise _nothing_common((kind,), policy)
    return int(kind)


def _chosen(policy: VncPolicy) -> Steps[int]:
    """RFB 3.7 and later: the server lists types, we choose by the policy's order."""
    (count,) = yield from read(SERVER, 1)
    if count == 0:
        yield from _refused(policy)
    offered = tuple((yield from read(SERVER, count)))
    for kind in policy.types():
        if kind in offered:
            yield from send(SERVER, bytes([kind]))
            return kind
    raise _nothing_common(offered, policy)


def _refused(policy: VncPolicy) -> Script:
    reason = yield from read_reason(policy)
    raise HandshakeError(f"the server refuses the connection: {reason or 'it gives no reason'}")


def _nothing_common(offered: tuple[int, ...], policy: VncPolicy) -> NoCommonSecurity:
    hint = ""
    if policy.tls_required:
        hint = "; TLS is configured for this server"
    elif policy.password is None and VNC_AUTH in offered:
        hint = "; no password is configured for this server"
    elif policy.password is not None and NONE in offered:
        hint = "; a password is configured for this server, and it wants none"
    allowed = names(policy.types())
    return NoCommonSecurity(f"the server offers {names(offered)}; allowed here: {allowed}{hint}")
