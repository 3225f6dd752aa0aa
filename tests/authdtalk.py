"""Test support: good conversations with an authentication daemon, in both forms of the screen's stream."""

from __future__ import annotations

import base64

import transcripts as t
from transcripts import hears, says

from consolekit.core.handshake import CLIENT, SERVER, StartTls
from consolekit.core.types import Secret, TlsPolicy
from consolekit.providers.webmks.authd import AuthdLogin
from consolekit.testing.handshakes import Arrives

TICKET = "52c8bd4b-71ab-a3c1-9f05-c0ffee00d00d"
CFG = "/vmfs/volumes/5f0c/web-1/web-1.vmx"
NONCE = bytes(range(100, 112))
SHA1 = "ab" * 20
SHA256 = "cd" * 32
BANNER = (
    b"220 VMware Authentication Daemon Version 1.10: SSL Required, ServerDaemonProtocol:SOAP, "
    b"MKSDisplayProtocol:VNC , , NFCSSL supported/t\r\n"
)
SERVER_INIT = b"\x02\xd0\x01\x90" + bytes(16) + b"\0\0\0\4name"

LOGIN = AuthdLogin(ticket=Secret(TICKET), cfg_file=CFG, nonce=NONCE, allow_sha1=True)


def until_screen(digest: str = SHA256, banner: bytes = BANNER) -> t.Events:
    """Up to the nonce inside the second TLS."""
    policy = TlsPolicy(pin_sha256=digest) if len(digest) == 64 else TlsPolicy(pin_sha1=digest)
    nonce = base64.b64encode(NONCE)
    return [
        says(banner),
        StartTls(SERVER),
        hears(b"USER " + TICKET.encode() + b"\r\n"),
        says(b"331 Password required for user.\r\n"),
        hears(b"PASS " + TICKET.encode() + b"\r\n"),
        says(b"230 User logged in.\r\n"),
        hears(b"THUMBPRINT " + nonce + b"\r\n"),
        says(b"200 " + digest.encode() + b"\r\n"),
        hears(b"CONNECT " + CFG.encode() + b" mks\r\n"),
        says(b"200 Connect " + CFG.encode() + b"\r\n"),
        StartTls(SERVER, policy=policy),
        hears(nonce),
    ]


def greeting(minor: int = 8) -> t.Events:
    """RFB's own beginning, where a host's stream has it: the proxy plays a viewer without a password."""
    version = b"RFB 003.%03d\n" % minor
    if minor == 3:
        return [says(version), hears(version), says(b"\0\0\0\1")]
    chosen: t.Events = [says(version), hears(version), says(b"\1\1"), hears(b"\1")]
    return chosen if minor == 7 else [*chosen, says(bytes(4))]


def viewer(minor: int = 8) -> t.Events:
    """The viewer's half, ClientInit included, where the proxy plays the server."""
    return [*t.viewer(minor), Arrives(CLIENT, b"\x01")]
