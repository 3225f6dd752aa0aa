from __future__ import annotations

import struct

import pytest
import transcripts as t

from consolekit.core.errors import AuthenticationRejected, HandshakeError
from consolekit.core.handshake import SERVER, Handshake, Script
from consolekit.providers.vnc.security import (
    LONGEST_REASON,
    names,
    read_reason,
    read_result,
)


def test_names_show_unknown_types_as_numbers() -> None:
    assert names([2, 19, 113]) == "VNC password (2), VeNCrypt (19), 113"
    assert names([]) == "nothing"


@pytest.mark.parametrize(
    ("policy", "types", "subtypes"),
    [
        (t.NO_PASSWORD, (1, 19), (260,)),
        (t.WITH_PASSWORD, (2, 19), (261,)),
        (t.TLS_NO_PASSWORD, (19,), (260,)),
        (t.TLS_PASSWORD, (19,), (261,)),
        (t.TLS_USER, (19,), (262, 261)),
        (t.ANONYMOUS_NO_PASSWORD, (19,), (260, 257)),
        (t.ANONYMOUS, (19,), (261, 258)),
        (t.ANONYMOUS_USER, (19,), (262, 261, 259, 258)),
    ],
)
def test_what_a_policy_allows(policy: object, types: tuple[int, ...], subtypes: tuple[int, ...]) -> None:
    assert isinstance(policy, t.VncPolicy)
    assert policy.types() == types
    assert policy.subtypes() == subtypes


def result(data: bytes, policy: t.VncPolicy = t.WITH_PASSWORD, minor: int = 8) -> Handshake:
    handshake = Handshake(read_result(policy, minor=minor))
    handshake.receive(SERVER, data)
    return handshake


def test_result_ok() -> None:
    assert result(t.OK).done


def test_result_with_reason() -> None:
    with pytest.raises(AuthenticationRejected, match="refused the login: Authentication failed"):
        result(t.refusal())


@pytest.mark.parametrize("code", [1, 2, 0xFFFFFFFF])
def test_result_without_reason_before_3_8(code: int) -> None:
    with pytest.raises(AuthenticationRejected, match="it gives no reason"):
        result(struct.pack(">I", code), minor=7)


def test_refused_without_a_password_is_no_password_error() -> None:
    with pytest.raises(HandshakeError) as caught:
        result(t.refusal(b"go away"), t.NO_PASSWORD)
    assert type(caught.value) is HandshakeError


def reason(data: bytes, policy: t.VncPolicy = t.NO_PASSWORD) -> str:
    found = []

    def script() -> Script:
        found.append((yield from read_reason(policy)))

    Handshake(script()).receive(SERVER, data)
    return found[0]


def test_a_reason_of_four_gigabytes_is_cut() -> None:
    text = reason(struct.pack(">I", 0xFFFFFFFF) + b"x" * 300)
    assert text == "x" * LONGEST_REASON


def test_a_reason_is_one_printable_line() -> None:
    assert reason(struct.pack(">I", 9) + b"a\r\nb\x1b[2Jc") == "a??b?[2Jc"


def test_a_reason_that_names_the_password_does_not_get_out() -> None:
    data = b"bad password s3cret for you"
    with pytest.raises(AuthenticationRejected) as caught:
        result(t.refusal(data))
    assert t.PASSWORD not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\0\0", struct.pack(">I", 20) + b"half of"])
def test_hanging_up_over_the_reason_is_still_a_refusal(data: bytes) -> None:
    handshake = result(b"") if not data else Handshake(read_result(t.WITH_PASSWORD, minor=8))
    handshake.receive(SERVER, struct.pack(">I", 1) + data)
    with pytest.raises(AuthenticationRejected, match="gives no reason"):
        handshake.receive_eof(SERVER)
