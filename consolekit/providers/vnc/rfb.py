"""Providers, VNC: the RFB handshake scripts (RFC 6143, 7.1 and 7.2; its appendix A for 3.3 and 3.7).

Pure: no asyncio, socket, ssl, time, logging. The order is the point: everything that the server may
refuse is behind us before the viewer hears a byte, and the viewer never hears the password.
"""

from __future__ import annotations

import struct

from consolekit.core.errors import HandshakeError, NoCommonSecurity
from consolekit.core.handshake import SERVER, Script, Steps, read, send
from consolekit.providers.rfbviewer import NONE, read_version, welcome_viewer
from consolekit.providers.vnc.security import (
    VENCRYPT,
    VNC_AUTH,
    VncPolicy,
    answer_challenge,
    names,
    read_reason,
    read_result,
)
from consolekit.providers.vnc.vencrypt import negotiate


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
    minor = yield from read_version(SERVER)
    yield from send(SERVER, b"RFB 003.%03d\n" % minor)
    kind = yield from _dictated(policy) if minor == 3 else _chosen(policy)
    if kind == VENCRYPT:
        yield from negotiate(policy)
    elif kind == VNC_AUTH:
        yield from answer_challenge(policy)
    if minor >= 8 or kind != NONE:  # before 3.8, plain None has no result
        yield from read_result(policy, minor=minor)


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
