"""Providers, VNC: what may be used to log in, and the steps that plain RFB and VeNCrypt share.

Pure: no asyncio, socket, ssl, time, logging.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import attrs

from consolekit.core.errors import AuthenticationRejected, HandshakeError, PeerClosed
from consolekit.core.handshake import SERVER, Script, Steps, read, send
from consolekit.core.types import Secret
from consolekit.providers.rfbviewer import NONE, printable
from consolekit.providers.vnc.vncauth import CHALLENGE_SIZE, vnc_response

VNC_AUTH, VENCRYPT = 2, 19
TLS_NONE, TLS_VNC, TLS_PLAIN = 257, 258, 259
X509_NONE, X509_VNC, X509_PLAIN = 260, 261, 262

LONGEST_REASON = 256
"""Bytes kept of a reason text, however long the server says it is."""

_NAMES = {
    NONE: "None", VNC_AUTH: "VNC password", 5: "RA2", 6: "RA2ne", 16: "Tight", 17: "Ultra", 18: "TLS",
    VENCRYPT: "VeNCrypt", 20: "SASL", 21: "MD5", 22: "xvp", 30: "Apple Diffie-Hellman", 256: "Plain",
    TLS_NONE: "TLSNone", TLS_VNC: "TLSVnc", TLS_PLAIN: "TLSPlain",
    X509_NONE: "X509None", X509_VNC: "X509Vnc", X509_PLAIN: "X509Plain", 263: "X509SASL", 264: "TLSSASL",
}  # fmt: skip


def names(types: Iterable[int]) -> str:
    """Security types for people: ``VNC password (2), VeNCrypt (19), 113``."""
    shown = [f"{_NAMES[kind]} ({kind})" if kind in _NAMES else str(kind) for kind in types]
    return ", ".join(shown) or "nothing"


@attrs.frozen(kw_only=True)
class VncPolicy:
    """What a login may use. The rule: what is configured is never traded for something weaker.

    - With a password, a server that wants none is refused: it is not the server that was meant, or
      it has lost its password.
    - With TLS required, only VeNCrypt is used. Without, VeNCrypt is the last choice: it needs a
      certificate that verifies, and servers that offer it beside the plain types often have none.
    - VeNCrypt's anonymous subtypes protect against nobody in the middle, so they need their own word.

    Attributes:
        password: Of the VNC server, or of ``username``.
        username: For VeNCrypt's Plain subtypes.
        tls_required: Never continue in clear.
        anonymous_tls: Allow TLS without certificates, after the X.509 subtypes.
    """

    password: Secret | None = None
    username: str = ""
    tls_required: bool = False
    anonymous_tls: bool = False

    def types(self) -> tuple[int, ...]:
        """The RFB security types that may be used, best first."""
        plain = NONE if self.password is None else VNC_AUTH
        return (VENCRYPT,) if self.tls_required else (plain, VENCRYPT)

    def subtypes(self) -> tuple[int, ...]:
        """The VeNCrypt subtypes that may be used, best first."""
        if self.password is None:
            found = [X509_NONE, TLS_NONE]
        elif self.username:
            found = [X509_PLAIN, X509_VNC, TLS_PLAIN, TLS_VNC]
        else:
            found = [X509_VNC, TLS_VNC]
        return tuple(kind for kind in found if kind >= X509_NONE or self.anonymous_tls)

    def hide(self, text: str) -> str:
        """Take the password out of a text that the server wrote."""
        password = self.password.reveal() if self.password else ""
        return text.replace(password, "***") if password else text


def answer_challenge(policy: VncPolicy) -> Script:
    """Prove the VNC password (RFC 6143, 7.2.2)."""
    challenge = yield from read(SERVER, CHALLENGE_SIZE)
    password = policy.password.reveal() if policy.password else ""
    yield from send(SERVER, vnc_response(challenge, password))


def read_reason(policy: VncPolicy) -> Steps[str]:
    """Read a reason text, at most ``LONGEST_REASON`` bytes of it.

    A server that hangs up over its own reason has still refused; the reason is empty then.
    """
    try:
        (length,) = struct.unpack(">I", (yield from read(SERVER, 4)))
        data = yield from read(SERVER, min(length, LONGEST_REASON))
    except PeerClosed:
        return ""
    return policy.hide(printable(data))


def read_result(policy: VncPolicy, *, minor: int) -> Script:
    """Read SecurityResult (RFC 6143, 7.1.3); a reason follows from version 3.8 on.

    Raises:
        AuthenticationRejected: the server does not like the password.
        HandshakeError: it refuses although no password was asked for.
    """
    (result,) = struct.unpack(">I", (yield from read(SERVER, 4)))
    if result == 0:
        return
    reason = (yield from read_reason(policy)) if minor >= 8 else ""
    text = f"the server refused the login: {reason or 'it gives no reason'}"
    raise HandshakeError(text) if policy.password is None else AuthenticationRejected(text)
