from __future__ import annotations

import pytest

from consolekit.providers.vnc.vncauth import vnc_response


def test_known_answer() -> None:
    # single DES, ECB, of FIPS 81's sample key and text: VNC's key bytes are that key's, mirrored
    key = bytes.fromhex("0123456789abcdef")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key).decode("latin-1")
    text = b"Now is the time "
    assert vnc_response(text, mirrored).hex() == "3fa40e8a984d48156a271787ab8883f9"


def test_only_eight_characters_count() -> None:
    challenge = bytes(range(16))
    assert vnc_response(challenge, "12345678") == vnc_response(challenge, "123456789")
    assert vnc_response(challenge, "1234567") != vnc_response(challenge, "12345678")


def test_short_and_empty_passwords_are_padded() -> None:
    challenge = bytes(16)
    assert vnc_response(challenge, "a") == vnc_response(challenge, "a\0\0")
    assert len(vnc_response(challenge, "")) == 16


@pytest.mark.parametrize("password", ["pässword", "пароль"])
def test_beyond_ascii(password: str) -> None:
    assert len(vnc_response(bytes(16), password)) == 16


@pytest.mark.parametrize("size", [0, 8, 15, 17])
def test_a_challenge_has_sixteen_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        vnc_response(bytes(size), "x")
