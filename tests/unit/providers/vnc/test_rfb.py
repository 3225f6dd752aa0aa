from __future__ import annotations

import struct

import pytest
import transcripts as t
from transcripts import hears, says

from consolekit.core.errors import AuthenticationRejected, HandshakeError, NoCommonSecurity
from consolekit.core.handshake import CLIENT, SERVER, Handshake, Send, StartTls
from consolekit.providers.vnc.rfb import log_in, vnc_script
from consolekit.testing.handshakes import Arrives, check_refusal, whole


@pytest.mark.parametrize("name", t.LOGINS)
def test_login_then_viewer(name: str) -> None:
    policy, events = t.LOGINS[name]
    whole(lambda: vnc_script(policy), [*events, *t.viewer()])


@pytest.mark.parametrize(
    ("banner", "minor"),
    [
        (b"RFB 003.000\n", 3),
        (b"RFB 003.005\n", 3),
        (b"RFB 003.006\n", 3),
        (b"RFB 003.007\n", 7),
        (b"RFB 003.009\n", 8),
        (b"RFB 003.130\n", 8),
        (b"RFB 003.889\n", 8),
    ],
)
def test_versions_of_the_server(banner: bytes, minor: int) -> None:
    rest = t.LOGINS[f"none 3.{minor}"][1][2:]
    whole(lambda: log_in(t.NO_PASSWORD), [*t.greeting(minor, banner), *rest])


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
        b"HTTP/1.1 400",
        b"SSH-2.0-Open",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
        bytes(12),
        b"\xff" * 12,
    ],
)
def test_what_is_not_rfb_3(banner: bytes) -> None:
    check_refusal(lambda: log_in(t.NO_PASSWORD), [says(banner)], HandshakeError)


def test_the_error_says_what_it_found_in_one_printable_line() -> None:
    error = check_refusal(lambda: log_in(t.NO_PASSWORD), [says(b"HTTP/1.1 400 Bad")], HandshakeError)
    assert "HTTP/1.1 400" in str(error)


# What is configured is never traded for something weaker.
DOWNGRADES = {
    "None where a password was expected": (t.WITH_PASSWORD, 8, b"\x01\x01", "it wants none"),
    "None where a password was expected, 3.7": (t.WITH_PASSWORD, 7, b"\x01\x01", "wants none"),
    "None where a password was expected, 3.3": (t.WITH_PASSWORD, 3, b"\0\0\0\1", "wants none"),
    "a password where none is known": (t.NO_PASSWORD, 8, b"\x01\x02", "no password is configured"),
    "a password where none is known, 3.3": (t.NO_PASSWORD, 3, b"\0\0\0\2", "no password"),
    "None where TLS was expected": (t.TLS_NO_PASSWORD, 8, b"\x01\x01", "TLS is configured"),
    "a password in clear where TLS was expected": (t.TLS_PASSWORD, 8, b"\x01\x02", "TLS is"),
    "both in clear where TLS was expected": (t.TLS_PASSWORD, 8, b"\x02\x01\x02", "TLS is"),
    "3.3 where TLS was expected": (t.TLS_PASSWORD, 3, b"\0\0\0\2", "TLS is configured"),
    "anonymous TLS allowed, none offered": (t.ANONYMOUS, 8, b"\x02\x01\x02", "TLS is configured"),
    "unknown types only": (t.NO_PASSWORD, 8, b"\x03\x10\x1e\x71", "Tight (16), Apple"),
    "an unknown type, 3.3": (t.NO_PASSWORD, 3, b"\0\0\xff\xff", "offers 65535"),
    "VeNCrypt in 3.3, which has none": (t.TLS_PASSWORD, 3, b"\0\0\0\x13", "VeNCrypt (19)"),
    "255 types, none of them known": (
        t.WITH_PASSWORD,
        8,
        b"\xff" + bytes([200]) * 255,
        "offers 200",
    ),
}


@pytest.mark.parametrize("case", DOWNGRADES)
def test_no_common_security(case: str) -> None:
    policy, minor, offer, text = DOWNGRADES[case]
    error = check_refusal(lambda: vnc_script(policy), [*t.greeting(minor), says(offer)], NoCommonSecurity)
    assert text in str(error)


@pytest.mark.parametrize(
    ("policy", "offered", "chosen"),
    [
        (t.NO_PASSWORD, b"\x01\x02\x13", 1),
        (t.NO_PASSWORD, b"\x13", 19),
        (t.NO_PASSWORD, b"\x02\x13", 19),
        (t.WITH_PASSWORD, b"\x01\x02", 2),
        (t.WITH_PASSWORD, b"\x13\x02", 2),
        (t.WITH_PASSWORD, b"\x01\x13", 19),
        (t.TLS_PASSWORD, b"\x01\x02\x13", 19),
        (t.ANONYMOUS, b"\x02\x13\x01", 19),
        (t.WITH_PASSWORD, bytes(range(1, 256)), 2),
    ],
)
def test_choice_of_type(policy: object, offered: bytes, chosen: int) -> None:
    assert isinstance(policy, t.VncPolicy)
    handshake = Handshake(vnc_script(policy))
    handshake.receive(SERVER, t.RFB[8] + bytes([len(offered)]) + offered)
    assert handshake.take_actions() == [Send(SERVER, t.RFB[8]), Send(SERVER, bytes([chosen]))]


@pytest.mark.parametrize("minor", [3, 7, 8])
def test_a_server_without_types_says_why(minor: int) -> None:
    none = b"\0\0\0\0" if minor == 3 else b"\0"
    offer = none + struct.pack(">I", 26) + b"Too many security failures"
    error = check_refusal(lambda: log_in(t.NO_PASSWORD), [*t.greeting(minor), says(offer)], HandshakeError)
    assert str(error) == "the server refuses the connection: Too many security failures"


def test_a_server_without_types_whose_reason_is_endless() -> None:
    offer = b"\0" + struct.pack(">I", 0xFFFFFFFF) + b"n" * 256
    error = check_refusal(lambda: log_in(t.NO_PASSWORD), [*t.greeting(), says(offer)], HandshakeError)
    assert len(str(error)) < 320


@pytest.mark.parametrize("name", [name for name in t.LOGINS if "one" not in name])
def test_wrong_password(name: str) -> None:
    policy, events = t.LOGINS[name]
    no_reason = name.endswith(("3.3", "3.7"))
    answer = struct.pack(">I", 1) if no_reason else t.refusal()
    check_refusal(lambda: vnc_script(policy), [*events[:-1], says(answer)], AuthenticationRejected)


@pytest.mark.parametrize("name", t.LOGINS)
def test_the_viewer_hears_nothing_before_the_server_said_yes(name: str) -> None:
    policy, events = t.LOGINS[name]
    handshake = Handshake(vnc_script(policy))
    for event in events[: max(i for i, e in enumerate(events) if isinstance(e, Arrives))]:
        if isinstance(event, Arrives):
            handshake.receive(SERVER, event.data)
        for action in handshake.take_actions():
            assert action.peer is SERVER
            if isinstance(action, StartTls):
                handshake.tls_started()


@pytest.mark.parametrize("name", t.LOGINS)
def test_no_password_in_clear_and_none_for_the_viewer(name: str) -> None:
    policy, events = t.LOGINS[name]
    handshake = Handshake(vnc_script(policy))
    in_tls, sent = False, {(CLIENT, False): b"", (SERVER, False): b"", (SERVER, True): b""}
    for event in [*events, *t.viewer()]:
        if isinstance(event, Arrives):
            handshake.receive(event.peer, event.data)
        for action in handshake.take_actions():
            if isinstance(action, StartTls):
                in_tls = True
                handshake.tls_started()
            else:
                key = (action.peer, in_tls and action.peer is SERVER)
                sent[key] += action.data
    assert handshake.done
    for secret in (t.PASSWORD.encode(), t.USERNAME.encode()):
        assert secret not in sent[CLIENT, False]
        assert secret not in sent[SERVER, False]
    assert (t.PASSWORD.encode() in sent[SERVER, True]) == ("Plain" in name)


def test_the_banner_and_what_follows_in_one_segment() -> None:
    policy, events = t.LOGINS["none 3.8"]
    data = b"".join(e.data for e in events if isinstance(e, Arrives))
    handshake = Handshake(log_in(policy))
    handshake.receive(SERVER, data)
    assert handshake.done
    assert hears(t.RFB[8]) in handshake.take_actions()
