"""Whatever a token service answers: a grant or ``StoreUnavailable`` (or its refusal), and nothing else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.schema import SERVER_ID, SUBJECT, problems_of, validator_of
from consolekit.core.types import ConsoleKey, Grant
from consolekit.http.callbackreply import REFUSALS, REPLY, Defaults, grant_of

DEFAULTS = Defaults(key=ConsoleKey("vnc", "novnc"), provider="lab")
NOW = 1_800_000_000.0
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["vnc", "novnc", "view", "web-1", "10.0.0.5", "::1", "5900", "-", "a/b", "h" * 300])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*REPLY["properties"], "host", "port", "more"])
GOOD = {"protocol": "vnc", "type": "novnc", "server": "web-1"}
PLACES = st.dictionaries(st.sampled_from(["host", "port", "access", "x"]), VALUES, max_size=4)
REPLIES = (
    VALUES
    | st.dictionaries(KEYS, VALUES, max_size=6)
    | st.dictionaries(KEYS, VALUES, max_size=3).map(lambda more: {**GOOD, **more})
    | PLACES.map(lambda place: {**GOOD, "target": place})
    | st.fixed_dictionaries(
        {"host": st.text(max_size=120), "port": st.integers(1, 65535) | st.text(max_size=5)}
    )
)


def answer(status: int, content_type: str, body: bytes) -> Grant | None:
    """The grant; None where there was properly none."""
    try:
        return grant_of(status, content_type, body, name="http-1", now=NOW, defaults=DEFAULTS)
    except StoreUnavailable:
        return None
    except TokenRefused:
        assert status in REFUSALS
        return None


@given(REPLIES)
def test_any_json_is_a_grant_that_makes_sense_or_no_answer(reply):
    grant = answer(200, "application/json", json.dumps(reply).encode())
    if grant is None:
        return
    assert isinstance(grant, Grant)
    assert grant.provider
    assert NOW < grant.expires_at <= NOW + 30 * 86400
    assert grant.session_seconds > 0
    assert problems_of(validator_of(SERVER_ID), grant.request.server_id) == []
    assert problems_of(validator_of(SUBJECT), grant.request.subject) == []
    if grant.target is not None:
        assert type(grant.target.port) is int
        assert 1 <= grant.target.port <= 65535


@given(st.integers(100, 599), st.text(max_size=30), st.binary(max_size=200))
def test_any_bytes_are_a_grant_or_no_answer(status, content_type, body):
    assert answer(status, content_type, body) is None


@given(st.data())
def test_a_good_answer_with_one_byte_changed_is_still_an_answer_or_none(data):
    body = bytearray(json.dumps({**GOOD, "target": {"host": "h", "port": 1}}).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    answer(200, "application/json", bytes(body))
