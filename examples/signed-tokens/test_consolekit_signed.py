"""Example: how a validator's author tests it, with what consolekit ships for that."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from consolekit_signed import SignedTokens

from consolekit import Clock, Grant, Secret, TokenValidator
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import SingleUse
from consolekit.testing import ManualClock, TokenValidatorContract

KEY = b"a key that both sides have"


def sign(server: str, until: float) -> Secret:
    text = f"{server}.{until:.0f}"
    return Secret(f"acme_{text}.{hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()}")


# [contract]
class TestSignedTokens(TokenValidatorContract):
    claims_form = True

    async def make_validator(self, clock: Clock) -> TokenValidator:
        return SignedTokens(key=KEY, provider="lab", clock=clock)

    async def make_token(self, wish: Grant) -> Secret:
        return sign(wish.request.server_id, wish.expires_at)


# [once]
class TestSignedTokensOnce(TestSignedTokens):
    """As the proxy uses them: single_use is True."""

    async def make_validator(self, clock: Clock) -> TokenValidator:
        return SingleUse(await super().make_validator(clock), MemoryTokenStore(clock=clock), clock=clock)


def test_it_is_made_of_an_operator_s_table(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    table = {"key_file": str(tmp_path / "key"), "provider": "lab"}
    assert SignedTokens.from_config(table, clock=ManualClock()).recognises(sign("web-1", 1))
