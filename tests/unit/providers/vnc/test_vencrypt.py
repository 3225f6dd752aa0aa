"""VeNCrypt alone; the whole conversation with RFB around it is test_rfb's."""

from __future__ import annotations

import struct

import pytest
import transcripts as t
from transcripts import hears, says

from consolekit.core.errors import HandshakeError, NoCommonSecurity
from consolekit.core.handshake import SERVER, StartTls
from consolekit.providers.vnc.vencrypt import negotiate
from consolekit.testing.handshakes import check_refusal, whole

VERSION = [says(b"\x00\x02"), hears(b"\x00\x02")]


def offer(*subtypes: int) -> bytes:
    return b"\x00" + bytes([len(subtypes)]) + struct.pack(f">{len(subtypes)}I", *subtypes)


@pytest.mark.parametrize(
    ("policy", "offered", "chosen"),
    [
        (t.TLS_NO_PASSWORD, (260,), 260),
        (t.TLS_NO_PASSWORD, (257, 999999, 260), 260),
        (t.ANONYMOUS_NO_PASSWORD, (257, 260), 260),
        (t.ANONYMOUS_NO_PASSWORD, (257,), 257),
    ],
)
def test_choice(policy: object, offered: tuple[int, ...], chosen: int) -> None:
    assert isinstance(policy, t.VncPolicy)
    whole(
        lambda: negotiate(policy),
        [
            *VERSION,
            says(offer(*offered)),
            hears(struct.pack(">I", chosen)),
            says(b"\x01"),
            StartTls(SERVER, anonymous=chosen == 257),
        ],
    )


@pytest.mark.parametrize("version", [b"\x00\x00", b"\x00\x01"])
def test_case_39_older_versions_are_refused(version: bytes) -> None:
    error = check_refusal(lambda: negotiate(t.TLS_PASSWORD), [says(version)], HandshakeError)
    assert "VeNCrypt 0." in str(error)


@pytest.mark.parametrize("version", [b"\x00\x03", b"\x01\x00"])
def test_a_newer_server_is_asked_for_0_2(version: bytes) -> None:
    events = [says(version), hears(b"\x00\x02"), says(b"\x01")]
    error = check_refusal(lambda: negotiate(t.TLS_PASSWORD), events, HandshakeError)
    assert "refuses VeNCrypt 0.2" in str(error)


@pytest.mark.parametrize(
    ("policy", "offered"),
    [
        (t.TLS_PASSWORD, ()),
        (t.TLS_PASSWORD, (257, 258, 259)),
        (t.TLS_PASSWORD, (260,)),
        (t.TLS_PASSWORD, (256,)),
        (t.TLS_PASSWORD, (1, 2)),
        (t.TLS_NO_PASSWORD, (261, 262)),
        (t.TLS_PASSWORD, (262,)),
        (t.ANONYMOUS, (256, 257, 260)),
        (t.TLS_PASSWORD, tuple(range(1000, 1255))),
    ],
)
def test_case_39_nothing_allowed_is_offered(policy: object, offered: tuple[int, ...]) -> None:
    assert isinstance(policy, t.VncPolicy)
    events = [*VERSION, says(offer(*offered))]
    error = check_refusal(lambda: negotiate(policy), events, NoCommonSecurity)
    assert "offers VeNCrypt with" in str(error)
    assert all(str(kind) in str(error) for kind in offered)


@pytest.mark.parametrize("answer", [b"\x00", b"\x02", b"\xff"])
def test_case_39_without_the_servers_one_there_is_no_tls(answer: bytes) -> None:
    events = [*VERSION, says(offer(261)), hears(struct.pack(">I", 261)), says(answer)]
    check_refusal(lambda: negotiate(t.TLS_PASSWORD), events, HandshakeError)


def test_case_39_text_in_clear_behind_the_ack_is_refused() -> None:
    """A man in the middle may not slip a challenge in before TLS."""
    events = [*VERSION, says(offer(261)), hears(struct.pack(">I", 261))]
    with pytest.raises(HandshakeError, match="in clear"):
        whole(lambda: negotiate(t.TLS_PASSWORD), [*events, says(b"\x01" + t.CHALLENGE)])
