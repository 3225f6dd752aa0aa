"""Catalogue, case 16: sealed tokens that somebody forged, or that are not for us, not now, or not at all."""

from __future__ import annotations

from pathlib import Path

from gateway import echo
from hostile import ask, console
from sealing import claims, forged, key_file, seal, tokens

from consolekit.auth.chain import ValidatorChain
from consolekit.auth.stored import SingleUse
from consolekit.core.types import SystemClock

FITS = 7000  # a longer one is too long a header, and refused as such


async def test_case_16_every_forged_token_gets_the_same_401_and_reaches_nobody(tmp_path: Path) -> None:
    clock, keys = SystemClock(), tmp_path / "keys.json"
    key = key_file(keys, clock)
    now = clock.now()
    wrong = {
        "another audience": {"aud": "another"},
        "no audience": {"aud": None},
        "no exp": {"exp": None},
        "exp in 10 years": {"exp": now + 10 * 365 * 86400},
        "expired": {"iat": now - 60, "exp": now - 1},
        "nbf in the future": {"nbf": now + 30},
        "iat in the future": {"iat": now + 30},
        "no jti": {"jti": None},
        "no console": {"console": {"server": None}},
    }
    bad = {name: seal(key, claims(clock, **changes)) for name, changes in wrong.items()}
    bad |= {name: token for name, token in forged(key, clock).items() if token.isprintable()}
    async with console(echo) as gateway:
        kit = gateway.kit
        sealed = tokens(keys, clock, issuers=["portal"])
        kit.validators = ValidatorChain([*kit.validators, SingleUse(sealed, kit.store, clock=clock)])
        bad["another issuer"] = seal(key, claims(clock, iss="else", console={"server": "demo"}))
        bad["no issuer"] = seal(key, claims(clock, console={"server": "demo"}))
        answers = {
            name: await ask(gateway, gateway.handshake(token))
            for name, token in bad.items()
            if token.isascii() and len(token) < FITS
        }
        assert len(answers) > 50
        unlike = {name for name, answer in answers.items() if answer.body != answers["no issuer"].body}
        assert unlike == set()
        assert {(answer.status, answer.code) for answer in answers.values()} == {(401, "token_refused")}
        assert kit.registry.get("lab").opened == []
        async with gateway.open(seal(key, claims(clock, iss="portal", console={"server": "demo"}))):
            pass
