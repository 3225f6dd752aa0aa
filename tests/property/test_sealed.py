"""Sealed tokens: any grant comes back; any other text is refused with one error, whatever it is."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sealing import AUDIENCE, claims, decoded, encoded, header_of, key_file, seal, tokens

from consolekit.auth.base import AccessContext
from consolekit.auth.exact import MAX_DEPTH, read_json
from consolekit.auth.sealed import MAX_CHARACTERS, SealedTokens
from consolekit.auth.sealedclaims import Claims, claims_text, read_claims
from consolekit.auth.sealedkeys import Key
from consolekit.core.errors import TokenRefused
from consolekit.core.types import ConsoleKey, ConsoleRequest, Grant, Mode, Secret, Target
from consolekit.testing import ManualClock

CLOCK = ManualClock()
CONTEXT = AccessContext()

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
WORD = st.from_regex(r"\A[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9})?\Z")
NUMBER = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
GRANTS = st.builds(
    Grant,
    id=st.from_regex(r"\A(?!ck[at]_)[A-Za-z0-9][A-Za-z0-9_-]{7,63}\Z"),
    request=st.builds(
        ConsoleRequest,
        key=st.builds(ConsoleKey, WORD, WORD),
        server_id=st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._:@-]{0,127}\Z"),
        subject=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=60),
        mode=st.sampled_from(Mode),
        params=st.dictionaries(TEXT, JSON, max_size=3),
    ),
    provider=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    issued_at=st.floats(CLOCK.now() - 500, CLOCK.now()) | st.just(int(CLOCK.now())),
    expires_at=st.floats(CLOCK.now() + 1, CLOCK.now() + 100) | st.just(int(CLOCK.now() + 60)),
    session_seconds=st.floats(1, 1e8) | st.integers(1, 10**8),
    target=st.none()
    | st.builds(
        Target,
        host=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
        port=st.integers(1, 65535),
        access=st.none() | st.builds(Secret, TEXT.filter(bool)),
    ),
)


def fresh() -> tuple[Key, SealedTokens]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        return key_file(path, CLOCK), tokens(path, CLOCK, provider="lab")


KEY, SEALED = fresh()
GOOD = seal(KEY, claims(CLOCK))
OTHER = seal(KEY, claims(CLOCK, jti="fedcba9876543210", console={"server": "web-2"}))


def opened(token: str) -> Grant:
    return asyncio.run(SEALED.validate(Secret(token), CONTEXT))


def refused(token: str) -> None:
    """By the one error, and not by another: neither when it is told from others nor when it is opened."""
    SEALED.recognises(Secret(token))
    for ask in (SEALED.validate, SEALED.inspect):
        with pytest.raises(TokenRefused):
            asyncio.run(ask(Secret(token), CONTEXT))


@given(grant=GRANTS)
def test_any_grant_comes_back(grant: Grant) -> None:
    token = asyncio.run(SEALED.issue(grant))
    assert opened(token.reveal()) == grant


@given(grant=GRANTS, audience=TEXT, issuer=st.none() | TEXT, not_before=st.none() | st.floats(0, 1e11))
def test_any_claims_come_back(
    grant: Grant, audience: str, issuer: str | None, not_before: float | None
) -> None:
    whole = Claims(audience=audience, issuer=issuer, not_before=not_before, grant=grant)
    text = claims_text(whole)
    assert read_claims(text, provider="", session_seconds=1) == whole
    assert claims_text(read_claims(text, provider="", session_seconds=1)) == text


def test_the_token_that_is_changed_is_a_good_one() -> None:
    assert opened(GOOD).request.server_id == "web-1"


@given(place=st.integers(0, len(GOOD) - 1), char=st.characters(codec="utf-8"))
def test_any_changed_character_is_refused(place: int, char: str) -> None:
    assume(GOOD[place] != char)
    refused(GOOD[:place] + char + GOOD[place + 1 :])


@given(place=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 6))
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    refused(GOOD[:place] + chr(ord(GOOD[place]) ^ (1 << bit)) + GOOD[place + 1 :])


@given(place=st.integers(0, len(GOOD) - 1), length=st.integers(1, 5))
def test_anything_left_out_or_said_twice_is_refused(place: int, length: int) -> None:
    refused(GOOD[:place] + GOOD[place + length :])
    refused(GOOD[: place + length] + GOOD[place:])


@given(place=st.integers(0, len(GOOD)), text=st.text(min_size=1, max_size=5))
def test_anything_put_in_is_refused(place: int, text: str) -> None:
    refused(GOOD[:place] + text + GOOD[place:])


@given(data=st.data())
def test_any_flipped_bit_of_the_bytes_behind_the_text_is_refused(data: st.DataObject) -> None:
    parts = GOOD.split(".")
    part = data.draw(st.sampled_from([0, 2, 3, 4]))
    raw = bytearray(decoded(parts[part]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    parts[part] = encoded(bytes(raw))
    refused(".".join(parts))


@given(order=st.permutations(range(5)), mixed=st.lists(st.booleans(), min_size=5, max_size=5))
def test_parts_in_another_order_or_of_another_token_are_refused(order: list[int], mixed: list[bool]) -> None:
    mine, other = GOOD.split("."), OTHER.split(".")
    token = ".".join((other if use else mine)[place] for place, use in zip(order, mixed, strict=True))
    assume(token not in (GOOD, OTHER))
    refused(token)


@given(field=st.sampled_from(["alg", "enc", "kid", "typ"]), value=JSON)
def test_any_other_header_is_refused(field: str, value: Any) -> None:
    assume(header_of(KEY)[field] != value)
    refused(seal(KEY, claims(CLOCK), header_of(KEY) | {field: value}))


@given(
    header=st.dictionaries(
        st.sampled_from(["crit", "zip", "b64", "apu", "p2c", "epk"]) | TEXT, JSON, min_size=1
    )
)
def test_anything_more_in_the_header_is_refused(header: dict[str, Any]) -> None:
    assume(not header.keys() <= header_of(KEY).keys())
    refused(seal(KEY, claims(CLOCK), {**header, **header_of(KEY)}))


@given(field=st.sampled_from(["aud", "exp", "iat", "jti", "console"]), value=JSON)
def test_a_field_of_another_kind_is_refused_or_says_what_it_says(field: str, value: Any) -> None:
    """Whatever its maker, who has the key, puts there: no other error, and nothing made of it."""
    token = seal(KEY, claims(CLOCK) | {field: value})
    try:
        grant = opened(token)
    except TokenRefused:
        return
    said = {"aud": AUDIENCE, "exp": grant.expires_at, "iat": grant.issued_at, "jti": grant.id}
    assert said[field] == value
    assert type(said[field]) is type(value)


@given(field=st.sampled_from(sorted(claims(CLOCK)["console"])), value=JSON)
def test_a_console_of_another_kind_is_refused_or_says_what_it_says(field: str, value: Any) -> None:
    token = seal(KEY, claims(CLOCK, console={field: value}))
    try:
        grant = opened(token)
    except TokenRefused:
        return
    request = grant.request
    said = {
        "protocol": request.key.protocol,
        "type": request.key.type,
        "server": request.server_id,
        "subject": request.subject,
        "provider": grant.provider,
    }
    assert said[field] == (value if value is not None else "lab")


@given(text=st.binary(max_size=200))
def test_any_bytes_that_are_sealed_are_refused(text: bytes) -> None:
    refused(seal(KEY, text))


@given(value=JSON)
def test_any_json_that_is_sealed_is_refused(value: Any) -> None:
    refused(seal(KEY, json.dumps(value).encode()))


@given(header=st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_header_at_all_is_refused(header: bytes) -> None:
    refused(seal(KEY, claims(CLOCK), header or b" "))


@given(text=st.text(max_size=300) | st.text("aA0-_.=", max_size=300))
def test_any_text_is_refused(text: str) -> None:
    refused(text)


@given(parts=st.lists(st.binary(max_size=60).map(encoded), min_size=4, max_size=6))
def test_any_parts_are_refused(parts: list[str]) -> None:
    refused(".".join(parts))


@given(filler=st.sampled_from('aA.[{"\0é'), length=st.integers(MAX_CHARACTERS - 2, MAX_CHARACTERS * 4))
def test_a_long_text_is_refused(filler: str, length: int) -> None:
    refused(filler * length)
    refused(GOOD + filler * length)


@given(value=JSON)
def test_json_is_read_as_others_read_it(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


@given(data=st.binary(max_size=300) | st.text('[]{}",:\\01e.-', max_size=300).map(str.encode))
def test_any_bytes_are_json_or_a_value_error(data: bytes) -> None:
    try:
        value = read_json(data)
    except ValueError:
        return
    assert json.loads(data) == value


@given(depth=st.integers(0, 40), opening=st.sampled_from(["[", '{"a":']))
def test_the_depth_is_bounded(depth: int, opening: str) -> None:
    text = (opening * depth + "1" + {"[": "]", "{": "}"}[opening[0]] * depth).encode()
    try:
        read_json(text)
    except ValueError:
        assert depth > MAX_DEPTH
    else:
        assert depth <= MAX_DEPTH
