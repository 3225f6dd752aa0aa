from __future__ import annotations

import pytest
import transcripts as t

from consolekit.core.errors import HandshakeError
from consolekit.core.handshake import CLIENT, SERVER, Handshake, Send
from consolekit.providers.rfbviewer import printable, read_version, welcome_viewer
from consolekit.testing.handshakes import Arrives, check_handshake, check_refusal


@pytest.mark.parametrize("minor", [3, 7, 8])
def test_viewers_of_every_version(minor: int) -> None:
    check_handshake(welcome_viewer, t.viewer(minor))


@pytest.mark.parametrize(
    "banner",
    [
        b"RFB 004.000\n",
        b"RFB 004.001\n",
        b"RFB 002.008\n",
        b"RFB 000.000\n",
        b"RFB 3.8\n    ",
        b"RFB 003.008\r",
        b"RFB +03.008\n",
        b"rfb 003.008\n",
        b"GET / HTTP/1",
        bytes(12),
        b"\xff" * 12,
    ],
)
def test_what_is_not_rfb_3(banner: bytes) -> None:
    events = [Send(CLIENT, t.RFB[8]), Arrives(CLIENT, banner)]
    check_refusal(welcome_viewer, events, HandshakeError)


@pytest.mark.parametrize("chosen", [0, 2, 16, 19, 255])
@pytest.mark.parametrize("minor", [7, 8])
def test_a_viewer_gets_only_what_was_offered(chosen: int, minor: int) -> None:
    events = [*t.viewer(minor)[:3], Arrives(CLIENT, bytes([chosen]))]
    error = check_refusal(welcome_viewer, events, HandshakeError)
    assert "was not offered" in str(error)


@pytest.mark.parametrize(
    ("banner", "minor"),
    [(b"003.003", 3), (b"003.005", 3), (b"003.007", 7), (b"003.008", 8), (b"003.889", 8)],
)
def test_versions(banner: bytes, minor: int) -> None:
    found = []

    def script():  # type: ignore[no-untyped-def]  # a Script
        found.append((yield from read_version(SERVER)))

    Handshake(script()).receive(SERVER, b"RFB " + banner + b"\n")
    assert found == [minor]


def test_printable() -> None:
    assert printable(b"\xff\x00ok ") == "\ufffd?ok"
