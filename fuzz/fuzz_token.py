"""Fuzz target: any text as a token, through a chain of our own tokens, sealed ones and a token file.

It opens nothing, or what it was made for. Whoever holds a key may seal anything: that too is refused alike.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import sealing

from consolekit.auth.base import AccessContext
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.sealedkeys import KeySet, new_key, write_keys
from consolekit.auth.stored import SingleUse, StoredTokens, hash_token
from consolekit.auth.tokenfile import FileTokens
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Secret
from consolekit.testing import ManualClock, example_grant

_CLOCK = ManualClock()
_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-token-"))
_KEY = new_key(int(_CLOCK.now()))


def _chain() -> tuple[ValidatorChain, str]:
    write_keys(_FOLDER / "keys.json", KeySet((_KEY,)), fresh=True)
    (_FOLDER / "tokens").write_text("in-the-token-file-0123: 192.0.2.1:5900\n")
    store = MemoryTokenStore(clock=_CLOCK)
    stored = StoredTokens(store, clock=_CLOCK)
    sealed = sealing.tokens(_FOLDER / "keys.json", _CLOCK, provider="lab")
    file = FileTokens(path=_FOLDER / "tokens", provider="lab", clock=_CLOCK)
    token = asyncio.run(stored.issue(example_grant(_CLOCK)))
    return ValidatorChain([stored, SingleUse(sealed, store, clock=_CLOCK), file]), token.reveal()


_CHAIN, _ISSUED = _chain()
_SEALED = sealing.seal(_KEY, sealing.claims(_CLOCK))
_KNOWN = {"ckt": _ISSUED, "jwe": _SEALED, "file": "in-the-token-file-0123"}
_PLAIN = b'{"aud":"consoles.example.org","iat":1,"exp":2,"jti":"0123456789abcdef","console":{}}'

SEEDS = [b"\0" + text.encode() for text in _KNOWN.values()] + [b"\1" + _PLAIN, b"\2\0\1", b"\3\5\x80", b"\0"]

_CLAIMS = "aud iat exp nbf iss jti console protocol type server subject provider mode params target host port"
WORDS = [f'"{claim}"'.encode() for claim in _CLAIMS.split()]


def one_input(data: bytes) -> None:
    """A text; or what is sealed with a key of ours; or a good token with one character changed."""
    how, rest = data[:1], data[1:]
    text = rest.decode("utf-8", "surrogateescape")
    if how == b"\1":
        text = sealing.seal(_KEY, rest)
    elif how in (b"\2", b"\3") and len(rest) > 1:
        good = _ISSUED if how == b"\2" else _SEALED
        place = int.from_bytes(rest[:2], "big") % len(good)
        text = good[:place] + rest[2:].decode("utf-8", "replace") + good[place + 1 :]
    opened = asyncio.run(_opens(Secret(text)))
    assert not opened or text in _KNOWN.values() or how == b"\1"
    try:
        hash_token(Secret(text))
    except TokenRefused:
        assert text != _ISSUED


async def _opens(token: Secret) -> bool:
    """Whether anything is told of the token."""
    answers = 0
    for ask in (_CHAIN.inspect, _CHAIN.redeem, _CHAIN.outcome):
        try:
            await ask(token, AccessContext(resume_hash="0" * 64))
            answers += 1
        except TokenRefused as exc:
            assert len(token.reveal()) < 8 or token.reveal() not in str(exc)
    return answers > 0
