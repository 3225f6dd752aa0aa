"""Providers, VNC: the DES challenge of security type 2 (RFC 6143, 7.2.2). Pure; knows no message around it.

DES with at most eight significant characters protects little: an eavesdropper of the challenge finds
the password by trying. Prefer VeNCrypt with certificates wherever the server has it.
"""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

CHALLENGE_SIZE = 16
"""Bytes in the challenge and in its response."""

KEY_SIZE = 8
"""How many bytes of a password count: longer ones are cut, shorter ones padded with zeros."""

_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def vnc_response(challenge: bytes, password: str) -> bytes:
    """Encrypt the server's challenge with the password.

    VNC uses each key byte with its bits mirrored (erratum to RFC 6143, 7.2.2). Three equal keys make
    triple DES the single DES that ``cryptography`` no longer offers by itself.

    Args:
        challenge: The server's 16 bytes.
        password: Only its first eight bytes count. Encoded as Latin-1 where possible, as VNC
            servers do, else as UTF-8.

    Raises:
        ValueError: the challenge has another size.
    """
    if len(challenge) != CHALLENGE_SIZE:
        raise ValueError(f"a VNC challenge has {CHALLENGE_SIZE} bytes, not {len(challenge)}")
    key = _password_bytes(password)[:KEY_SIZE].ljust(KEY_SIZE, b"\0").translate(_REVERSED)
    cipher = Cipher(TripleDES(key * 3), modes.ECB())  # noqa: S305 - the protocol's own mode
    encryptor = cipher.encryptor()
    return encryptor.update(challenge) + encryptor.finalize()


def _password_bytes(password: str) -> bytes:
    try:
        return password.encode("latin-1")
    except UnicodeEncodeError:
        return password.encode("utf-8")
