"""Test support: good RFB conversations, server first, one per kind of login and version."""

from __future__ import annotations

import struct

from consolekit.core.handshake import CLIENT, SERVER, Send, StartTls
from consolekit.core.types import Secret
from consolekit.providers.vnc.security import VncPolicy
from consolekit.providers.vnc.vncauth import vnc_response
from consolekit.testing.handshakes import Arrives, Event
from consolekit.testing.viewerfilters import Said

PASSWORD = "s3cret"
USERNAME = "operator"
CHALLENGE = bytes(range(16))
OK = struct.pack(">I", 0)
RFB = {3: b"RFB 003.003\n", 7: b"RFB 003.007\n", 8: b"RFB 003.008\n"}

Events = list[Event]


def says(data: bytes) -> Arrives:
    return Arrives(SERVER, data)


def hears(data: bytes) -> Send:
    return Send(SERVER, data)


def greeting(minor: int = 8, banner: bytes | None = None) -> Events:
    return [says(banner or RFB[minor]), hears(RFB[minor])]


def challenge(password: str = PASSWORD) -> Events:
    return [says(CHALLENGE), hears(vnc_response(CHALLENGE, password))]


def plain(username: str = USERNAME, password: str = PASSWORD) -> Events:
    lengths = struct.pack(">II", len(username), len(password))
    return [hears(lengths + username.encode() + password.encode())]


def refusal(reason: bytes = b"Authentication failed") -> bytes:
    return struct.pack(">II", 1, len(reason)) + reason


def vencrypt(subtype: int, *offered: int) -> Events:
    """From the choice of security type up to the start of TLS."""
    subtypes = offered or (subtype,)
    return [
        says(b"\x01\x13"),
        hears(b"\x13"),
        says(b"\x00\x02"),
        hears(b"\x00\x02"),
        says(b"\x00" + bytes([len(subtypes)]) + struct.pack(f">{len(subtypes)}I", *subtypes)),
        hears(struct.pack(">I", subtype)),
        says(b"\x01"),
        StartTls(SERVER, anonymous=subtype < 260),
    ]


def viewer(minor: int = 8) -> Events:
    """The viewer's half, as a browser of that version plays it."""
    events: Events = [Send(CLIENT, RFB[8]), Arrives(CLIENT, RFB[minor])]
    if minor == 3:
        return [*events, Send(CLIENT, struct.pack(">I", 1))]
    events += [Send(CLIENT, b"\x01\x01"), Arrives(CLIENT, b"\x01")]
    return [*events, Send(CLIENT, OK)] if minor == 8 else events


def policy(**settings: object) -> VncPolicy:
    """A policy; ``password`` may be a plain text."""
    if isinstance(settings.get("password"), str):
        settings["password"] = Secret(str(settings["password"]))
    return VncPolicy(**settings)  # type: ignore[arg-type]  # any of its settings, by name


NO_PASSWORD = policy()
WITH_PASSWORD = policy(password=PASSWORD)
TLS_NO_PASSWORD = policy(tls_required=True)
TLS_PASSWORD = policy(password=PASSWORD, tls_required=True)
TLS_USER = policy(password=PASSWORD, username=USERNAME, tls_required=True)
ANONYMOUS = policy(password=PASSWORD, tls_required=True, anonymous_tls=True)
ANONYMOUS_NO_PASSWORD = policy(tls_required=True, anonymous_tls=True)
ANONYMOUS_USER = policy(password=PASSWORD, username=USERNAME, tls_required=True, anonymous_tls=True)

VIEWER_SAYS = (
    Said(b"\x01"),  # ClientInit (RFC 6143, 7.3.1)
    Said(bytes([2, 0, 0, 1]) + bytes(4)),  # SetEncodings (7.5)
    Said(bytes([3, 1]) + bytes(8)),  # FramebufferUpdateRequest
    Said(bytes([4, 1, 0, 0, 0, 0, 0, 65]), is_input=True),  # KeyEvent
    Said(bytes([5, 1, 0, 9, 0, 9]), is_input=True),  # PointerEvent
    Said(bytes([6, 0, 0, 0, 0, 0, 0, 2]) + b"hi", is_input=True),  # ClientCutText
)
"""What a viewer sends behind the handshake."""

LOGINS: dict[str, tuple[VncPolicy, Events]] = {
    "none 3.8": (NO_PASSWORD, [*greeting(8), says(b"\x01\x01"), hears(b"\x01"), says(OK)]),
    "none 3.7": (NO_PASSWORD, [*greeting(7), says(b"\x01\x01"), hears(b"\x01")]),
    "none 3.3": (NO_PASSWORD, [*greeting(3), says(struct.pack(">I", 1))]),
    "password 3.8": (
        WITH_PASSWORD,
        [*greeting(8), says(b"\x01\x02"), hears(b"\x02"), *challenge(), says(OK)],
    ),
    "password 3.7": (
        WITH_PASSWORD,
        [*greeting(7), says(b"\x01\x02"), hears(b"\x02"), *challenge(), says(OK)],
    ),
    "password 3.3": (
        WITH_PASSWORD,
        [*greeting(3), says(struct.pack(">I", 2)), *challenge(), says(OK)],
    ),
    "X509None": (TLS_NO_PASSWORD, [*greeting(), *vencrypt(260), says(OK)]),
    "X509None 3.7": (TLS_NO_PASSWORD, [*greeting(7), *vencrypt(260), says(OK)]),
    "X509Vnc": (TLS_PASSWORD, [*greeting(), *vencrypt(261), *challenge(), says(OK)]),
    "X509Plain": (TLS_USER, [*greeting(), *vencrypt(262), *plain(), says(OK)]),
    "TLSNone": (ANONYMOUS_NO_PASSWORD, [*greeting(), *vencrypt(257), says(OK)]),
    "TLSVnc": (ANONYMOUS, [*greeting(), *vencrypt(258), *challenge(), says(OK)]),
    "TLSPlain": (ANONYMOUS_USER, [*greeting(), *vencrypt(259), *plain(), says(OK)]),
}
"""Every login that must succeed: what may be used, and the server's half of the conversation."""
