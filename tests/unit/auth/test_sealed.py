"""auth.sealed: what a token says comes back; forged, foreign and untimely tokens are refused."""

from __future__ import annotations

import base64
import json
import logging
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from sealing import AUDIENCE, CANARY, claims, decoded, forged, header_of, key_file, seal, tokens

from consolekit.auth.base import AccessContext
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.sealed import MAX_CHARACTERS, SealedTokens
from consolekit.auth.sealedkeys import Key, KeySet, read_keys, write_keys
from consolekit.core.errors import ConfigError, InvalidRequest, TokenRefused
from consolekit.core.types import Grant, Secret, Target
from consolekit.testing import ManualClock, example_grant

CONTEXT = AccessContext(address="192.0.2.7")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def key(path: Path, clock: ManualClock) -> Key:
    return key_file(path, clock)


@pytest.fixture
def sealed(key: Key, path: Path, clock: ManualClock) -> SealedTokens:
    return tokens(path, clock)


async def opened(sealed: SealedTokens, token: str) -> Grant:
    return await sealed.validate(Secret(token), CONTEXT)


async def refused(sealed: SealedTokens, token: str, said: str | None = None) -> None:
    """Whatever is asked, the answer is the same one error."""
    for ask in (sealed.validate, sealed.inspect):
        with pytest.raises(TokenRefused, match=said) as caught:
            await ask(Secret(token), CONTEXT)
        assert caught.value.__cause__ is None
        assert caught.value.public_detail == TokenRefused("other").public_detail


# ---- what is right


async def test_a_grant_comes_back_whole(sealed: SealedTokens, clock: ManualClock) -> None:
    grant = attrs.evolve(
        example_grant(clock), target=Target(host=CANARY, port=902, access=Secret("canary-ticket"))
    )
    token = await sealed.issue(grant)
    assert sealed.recognises(token)
    assert await sealed.validate(token, CONTEXT) == grant
    assert len(token.reveal()) < 800


async def test_a_token_shows_nothing_to_who_has_it(sealed: SealedTokens, clock: ManualClock) -> None:
    target = Target(host=CANARY, port=902, access=Secret("s3cret-ticket"))
    grant = attrs.evolve(example_grant(clock), target=target)
    token = await sealed.issue(grant)
    shown = b"".join([token.reveal().encode(), *(decoded(part) for part in token.reveal().split("."))])
    for hidden in (b"canary", b"s3cret", b"web-1", b"novnc", b"subject", grant.id.encode()):
        assert hidden not in shown
    header = json.loads(decoded(token.reveal().split(".")[0]))
    assert set(header) == {"alg", "enc", "kid", "typ"}
    assert "s3cret" not in repr(await sealed.inspect(token, CONTEXT))


async def test_two_tokens_of_one_grant_differ(sealed: SealedTokens, clock: ManualClock) -> None:
    grant = example_grant(clock)
    assert await sealed.issue(grant) != await sealed.issue(grant)


async def test_another_programs_token(sealed: SealedTokens, key: Key, clock: ManualClock) -> None:
    grant = await opened(sealed, seal(key, claims(clock, jti="order-000017", nbf=clock.now())))
    assert (grant.id, grant.request.server_id, grant.provider) == ("order-000017", "web-1", "lab")
    assert grant.session_seconds == 12 * 3600


async def test_the_default_provider(key: Key, path: Path, clock: ManualClock) -> None:
    token = seal(key, claims(clock, console={"provider": None}))
    known = tokens(path, clock, provider="esx", session_seconds=7.0)
    grant = await opened(known, token)
    assert (grant.provider, grant.session_seconds, list(known.provider_names())) == ("esx", 7.0, ["esx"])
    none = tokens(path, clock)
    await refused(none, token, "names no provider")
    assert list(none.provider_names()) == []


# ---- forged


CASES = list(forged(Key(kid="x", material=bytes(range(32)), created=0), ManualClock()))


@pytest.mark.parametrize("case", CASES)
async def test_forged_tokens_are_refused(
    case: str, sealed: SealedTokens, key: Key, clock: ManualClock
) -> None:
    await refused(sealed, forged(key, clock)[case])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"aud": "another.example.org"}, "another audience"),
        ({"aud": AUDIENCE.upper()}, "another audience"),
        ({"aud": [AUDIENCE]}, "aud: must be of type string"),
        ({"aud": None}, "aud: is required"),
        ({"exp": None}, "exp: is required"),
        ({"jti": None}, "jti: is required"),
        ({"exp": 1_800_000_000.0 + 10 * 365 * 86400}, "does not live between"),
        ({"exp": 1_800_000_000.0 + 601}, "does not live between"),
        ({"exp": 1_800_000_000.0}, "does not live between"),
        ({"exp": 1_799_999_999.0}, "does not live between"),
        ({"nbf": 1_800_000_006.0}, "not valid yet"),
        ({"iat": 1_800_000_006.0}, "issued in the future"),
        ({"extra": "x"}, "extra: is not known here"),
    ],
    ids=range(13),
)
async def test_wrong_claims_are_refused(
    wrong: dict[str, Any], said: str, sealed: SealedTokens, key: Key, clock: ManualClock
) -> None:
    await refused(sealed, seal(key, claims(clock, **wrong)), said)


async def test_a_token_that_is_too_long_is_not_looked_into(sealed: SealedTokens, key: Key) -> None:
    token = seal(key, b"x" * MAX_CHARACTERS)
    assert sealed.recognises(Secret(token))
    await refused(sealed, token, "too long")


# ---- whose, and when


async def test_issuers(key: Key, path: Path, clock: ManualClock) -> None:
    strict = tokens(path, clock, issuer="gateway", issuers=["portal"])
    for issuer in ("portal", "gateway"):
        await opened(strict, seal(key, claims(clock, iss=issuer)))
    await refused(strict, seal(key, claims(clock, iss="Portal")), "issuer is none of ours")
    await refused(strict, seal(key, claims(clock)), "issuer is none of ours")
    await opened(strict, (await strict.issue(example_grant(clock))).reveal())
    await opened(tokens(path, clock), seal(key, claims(clock, iss="anybody")))
    with pytest.raises(ConfigError, match="issuer: is needed"):
        await tokens(path, clock, issuers=["portal"]).issue(example_grant(clock))
    await refused(tokens(path, clock, issuers=["portal"]), seal(key, claims(clock, iss="")), "issuer")


async def test_it_dies_at_its_expiry_and_can_still_be_read(sealed: SealedTokens, clock: ManualClock) -> None:
    grant = example_grant(clock, ttl=60)
    token = await sealed.issue(grant)
    clock.advance(59.999)
    assert await sealed.validate(token, CONTEXT) == grant
    clock.advance(0.001)
    with pytest.raises(TokenRefused, match="expired"):
        await sealed.validate(token, CONTEXT)
    clock.advance(10_000)
    life = await sealed.inspect(token, CONTEXT)
    assert (life.grant, life.used_at) == (grant, None)


async def test_leeway_is_for_the_beginning_only(key: Key, path: Path, clock: ManualClock) -> None:
    exact, patient = tokens(path, clock, leeway_seconds=0), tokens(path, clock, leeway_seconds=60)
    token = seal(key, claims(clock, iat=clock.now() + 5, nbf=clock.now() + 5))
    await refused(exact, token, "issued in the future")
    await opened(patient, token)
    clock.advance(5)
    await opened(exact, token)
    clock.advance(55)
    for sealed in (exact, patient):
        with pytest.raises(TokenRefused, match="expired"):
            await opened(sealed, token)


async def test_a_shorter_longest_life(key: Key, path: Path, clock: ManualClock) -> None:
    brief = tokens(path, clock, max_seconds=60)
    await opened(brief, seal(key, claims(clock)))
    await opened(brief, seal(key, claims(clock, exp=clock.now() + 0.5)))
    assert await brief.issue(example_grant(clock, ttl=60))
    await refused(brief, seal(key, claims(clock, exp=clock.now() + 60.5)), "does not live between 0 and 60")
    with pytest.raises(InvalidRequest, match="ttl_seconds: must be at most 60"):
        await brief.issue(example_grant(clock, ttl=61))


async def test_what_no_token_can_hold(sealed: SealedTokens, clock: ManualClock) -> None:
    grant = example_grant(clock)
    for params, said in (({"a": "x" * 4096}, "params: are too large"), ({"a": Secret("x")}, "no plain JSON")):
        large = attrs.evolve(grant, request=attrs.evolve(grant.request, params=params))
        with pytest.raises(InvalidRequest, match=said):
            await sealed.issue(large)


# ---- keys


async def test_rotation_with_overlap(sealed: SealedTokens, path: Path, clock: ManualClock) -> None:
    """Old tokens open until their key is taken out; new ones are sealed with the new key at once."""
    before = await sealed.issue(example_grant(clock))
    first = read_keys(path)
    second = first.rotated(int(clock.now()))
    write_keys(path, second)
    clock.advance(1)
    after = await sealed.issue(example_grant(clock))
    kids = [json.loads(decoded(token.reveal().split(".")[0]))["kid"] for token in (before, after)]
    assert kids == [first.sealing.kid, second.sealing.kid]
    for token in (before, after):
        await sealed.validate(token, CONTEXT)
    write_keys(path, second.without(first.sealing.kid))
    clock.advance(1)
    await sealed.validate(after, CONTEXT)
    await refused(sealed, before.reveal(), "unknown key")


async def test_the_same_name_with_another_key(sealed: SealedTokens, path: Path, clock: ManualClock) -> None:
    token = await sealed.issue(example_grant(clock))
    (key,) = read_keys(path).keys
    write_keys(path, KeySet((attrs.evolve(key, material=bytes(reversed(key.material))),)))
    clock.advance(1)
    await refused(sealed, token.reveal(), "does not open")


# ---- among others


@pytest.mark.parametrize(
    "text",
    ["", "....", "a.b.c.d.e", "ckt_" + "a" * 43, "b48316c5-71e8-45e4-9884-6c78055b9b13", "." * 5000],
    ids=["empty", "dots", "letters", "ours", "nova", "many dots"],
)
def test_what_is_not_recognised(sealed: SealedTokens, text: str) -> None:
    assert not sealed.recognises(Secret(text))


def test_a_bad_one_is_recognised_all_the_same(sealed: SealedTokens, key: Key) -> None:
    assert sealed.recognises(Secret(seal(attrs.evolve(key, kid="unknown"), b"")))
    assert sealed.recognises(Secret(seal(key, b"", header_of(key, crit=["x"]))))
    assert not sealed.recognises(Secret(seal(key, b"", header_of(key, typ="JWT"))))
    assert not sealed.recognises(Secret(seal(key, b"", b'"consolekit+jwe"')))


async def test_two_with_keys_of_their_own(tmp_path: Path, clock: ManualClock) -> None:
    """Both know the form; each has keys that the other has not."""
    keys = [key_file(tmp_path / name, clock) for name in "ab"]
    chain = ValidatorChain([tokens(tmp_path / name, clock) for name in "ab"])
    for key in keys:
        _, grant = await chain.redeem(Secret(seal(key, claims(clock, jti=f"of-{key.kid}"))), CONTEXT)
        assert grant.id == f"of-{key.kid}"


async def test_nothing_is_logged(
    sealed: SealedTokens, key: Key, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = await sealed.issue(example_grant(clock))
    await sealed.validate(token, CONTEXT)
    await refused(sealed, token.reveal() + "A")
    material = base64.urlsafe_b64encode(key.material).rstrip(b"=").decode()
    assert token.reveal()[80:] not in caplog.text
    assert material not in caplog.text + repr(sealed)


def test_keys_that_cannot_be_used_are_a_problem_at_the_start(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match=r"keys_file: .*No such file"):
        tokens(tmp_path / "none", clock)


def test_without_its_library(
    key: Key, path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigError, match=r"pip install 'consolekit\[sealed\]'"):
        tokens(path, clock)


def test_its_tokens_open_once(sealed: SealedTokens) -> None:
    assert sealed.single_use
