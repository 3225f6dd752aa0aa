"""The checker itself: it passes good scripts and catches each kind of bad one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consolekit.core.errors import HandshakeError, NoCommonSecurity, PeerClosed
from consolekit.core.handshake import (
    CLIENT,
    SERVER,
    Script,
    Send,
    StartTls,
    read,
    send,
    start_tls,
)
from consolekit.testing.handshakes import Arrives, Transcript, check_handshake, check_refusal

TRANSCRIPT: Transcript = [
    Arrives(SERVER, b"HELLO"),
    Send(SERVER, b"TLS"),
    Arrives(SERVER, b"1"),
    StartTls(SERVER),
    Send(SERVER, b"PASS"),
    Arrives(SERVER, b"OK"),
    Send(CLIENT, b"WELCOME"),
    Arrives(CLIENT, b"THANKS"),
]


def good() -> Script:
    if (yield from read(SERVER, 5)) != b"HELLO":
        raise HandshakeError("no greeting")
    yield from send(SERVER, b"TLS")
    yield from read(SERVER, 1)
    yield from start_tls(SERVER)
    yield from send(SERVER, b"PASS")
    if (yield from read(SERVER, 2)) != b"OK":
        raise NoCommonSecurity("not ok")
    yield from send(CLIENT, b"WELCOME")
    yield from read(CLIENT, 6)


def welcomes_too_early() -> Script:
    yield from send(CLIENT, b"WELCOME")
    yield from read(SERVER, 5)
    yield from send(SERVER, b"TLS")
    yield from read(SERVER, 1)
    yield from start_tls(SERVER)
    yield from send(SERVER, b"PASS")
    yield from read(SERVER, 2)
    yield from read(CLIENT, 6)


def secret_before_tls() -> Script:
    yield from read(SERVER, 5)
    yield from send(SERVER, b"TLS")
    yield from read(SERVER, 1)
    yield from send(SERVER, b"PASS")
    yield from start_tls(SERVER)
    yield from read(SERVER, 2)
    yield from send(CLIENT, b"WELCOME")
    yield from read(CLIENT, 6)


def other_exceptions() -> Script:
    int((yield from read(SERVER, 5)).removeprefix(b"HELLO") or b"0")
    yield from send(SERVER, b"TLS")
    yield from read(SERVER, 1)
    yield from start_tls(SERVER)
    yield from send(SERVER, b"PASS")
    yield from read(SERVER, 2)
    yield from send(CLIENT, b"WELCOME")
    yield from read(CLIENT, 6)


def swallows_too_much() -> Script:
    yield from good()
    yield from read(CLIENT, 1)


def ends_too_early() -> Script:
    yield from read(SERVER, 5)
    yield from send(SERVER, b"TLS")


def invents_eof_reason() -> Script:
    try:
        yield from good()
    except PeerClosed:
        raise HandshakeError("something else") from None


def test_a_good_script() -> None:
    check_handshake(good, TRANSCRIPT)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (welcomes_too_early, "unexpectedly sent b'WELCOME' to client"),
        (secret_before_tls, "unexpectedly sent b'PASS' to server"),
        (other_exceptions, "ValueError escapes"),
        (swallows_too_much, "has not ended"),
        (ends_too_early, "event 3"),
        (invents_eof_reason, "not PeerClosed"),
    ],
)
def test_bad_scripts_are_caught(script: Callable[[], Script], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        check_handshake(script, TRANSCRIPT)


def test_a_transcript_that_is_not_met() -> None:
    with pytest.raises(AssertionError, match="expected b'WRONG'"):
        check_handshake(good, [TRANSCRIPT[0], Send(SERVER, b"WRONG")])


def test_refusal_gives_the_error() -> None:
    events = [*TRANSCRIPT[:5], Arrives(SERVER, b"NO")]
    assert str(check_refusal(good, events, NoCommonSecurity)) == "not ok"


def test_refusal_of_the_wrong_kind() -> None:
    events = [*TRANSCRIPT[:5], Arrives(SERVER, b"NO")]
    with pytest.raises(AssertionError, match="NoCommonSecurity, not PeerClosed"):
        check_refusal(good, events, PeerClosed)


def test_no_refusal() -> None:
    with pytest.raises(AssertionError, match="not refused"):
        check_refusal(good, TRANSCRIPT, NoCommonSecurity)
