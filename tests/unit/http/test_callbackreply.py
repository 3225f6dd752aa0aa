"""http.callbackreply: which answers mean a grant, and which nothing at all."""

from __future__ import annotations

import json

import pytest

from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import ConsoleKey, Mode, Secret, Target
from consolekit.http.callbackreply import LONGEST_REPLY, REFUSALS, REPLY, Defaults, grant_of

KEY = ConsoleKey("vnc", "novnc")
DEFAULTS = Defaults(key=KEY, provider="lab")
SMALL = {"protocol": "mks", "type": "webmks", "server": "web-1"}
NOW = 1000.0


def read(reply, *, status=200, content_type="application/json", defaults=DEFAULTS):
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return grant_of(status, content_type, body, name="http-1", now=NOW, defaults=defaults)


def test_the_smallest_answer_takes_the_defaults():
    grant = read(SMALL, content_type="Application/JSON; charset=utf-8")
    assert (grant.id, grant.provider, grant.target) == ("http-1", "lab", None)
    request = grant.request
    assert (str(request.key), request.server_id, request.subject) == ("mks/webmks", "web-1", "http:web-1")
    assert request.mode is Mode.INTERACT
    assert (grant.issued_at, grant.expires_at, grant.session_seconds) == (NOW, NOW + 43200, 43200)


def test_the_whole_answer_counts():
    target = {"host": "10.0.0.5", "port": 443, "access": "/ticket/abc"}
    more = {"subject": "ann", "mode": "view", "provider": "esx", "expires_in": 0.5, "session_seconds": 60}
    grant = read({**SMALL, **more, "target": target})
    assert (grant.request.subject, grant.request.mode, grant.provider) == ("ann", Mode.VIEW, "esx")
    assert (grant.expires_at, grant.session_seconds) == (NOW + 0.5, 60)
    assert grant.target == Target(host="10.0.0.5", port=443, access=Secret("/ticket/abc"))
    assert "abc" not in repr(grant)


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("10.0.0.5", 5901, "10.0.0.5:5901"),
        ("kvm", "5901", "kvm:5901"),
        ("::1", 5901, "0000:0000:0000:0000:0000:0000:0000:0001:5901"),
        ("[::1]", 5901, "0000:0000:0000:0000:0000:0000:0000:0001:5901"),
    ],
)
def test_an_answer_of_websockify_s_form_counts(host, port, server):
    grant = read({"host": host, "port": port})
    assert grant.target == Target(host=host.strip("[]"), port=5901)
    assert (grant.request.key, grant.request.server_id, grant.provider) == (KEY, server, "lab")


@pytest.mark.parametrize("status", REFUSALS)
def test_statuses_that_refuse(status):
    with pytest.raises(TokenRefused, match=str(status)):
        read(b"", status=status)


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 304, 307, 400, 405, 429, 500, 502, 503, 599])
def test_any_other_status_is_no_answer(status):
    with pytest.raises(StoreUnavailable, match=str(status)):
        read(SMALL, status=status)


@pytest.mark.parametrize(
    "content_type", ["", "text/html", "text/json", "application/json, text/html", "application/jsonx"]
)
def test_any_other_type_is_no_answer(content_type):
    with pytest.raises(StoreUnavailable, match="application/json"):
        read(SMALL, content_type=content_type)


BODIES = {
    "nothing": b"",
    "html": b"<html>",
    "not utf-8": b'{"server": "\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "too deep": b"[" * 60_000,
    "a name twice": json.dumps(SMALL).encode()[:-1] + b', "server": "web-2"}',
    "a number that JSON has not": json.dumps(SMALL).encode()[:-1] + b', "expires_in": NaN}',
    "more digits than are read": json.dumps(SMALL).encode()[:-1] + b', "expires_in": ' + b"9" * 5000 + b"}",
    "two documents": json.dumps(SMALL).encode() * 2,
    "too long": b" " * LONGEST_REPLY + b"{}",
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_not_json_is_no_answer(name):
    with pytest.raises(StoreUnavailable, match=r"not JSON|KiB"):
        read(BODIES[name])


REPLIES = {
    "null": None,
    "a list": [SMALL],
    "empty": {},
    "no server": {"protocol": "vnc", "type": "novnc"},
    "another server": {**SMALL, "server": "../x"},
    "a server with a line end": {**SMALL, "server": "web-1\n"},
    "a type that is no word": {**SMALL, "type": "-"},
    "an unknown key": {**SMALL, "admin": True},
    "an unknown mode": {**SMALL, "mode": "root"},
    "expired": {**SMALL, "expires_in": 0},
    "expired at once": {**SMALL, "expires_in": 5e-324},
    "for ever": {**SMALL, "expires_in": 1e300},
    "a truth for a number": {**SMALL, "session_seconds": True},
    "a subject of two lines": {**SMALL, "subject": "a\nb"},
    "no port": {**SMALL, "target": {"host": "h"}},
    "port 0": {**SMALL, "target": {"host": "h", "port": 0}},
    "a port as text": {**SMALL, "target": {"host": "h", "port": "1"}},
    "half a port": {**SMALL, "target": {"host": "h", "port": 1.5}},
    "an unknown key of a place": {**SMALL, "target": {"host": "h", "port": 1, "path": "/"}},
    "both forms": {**SMALL, "host": "h", "port": 1},
    "websockify's without a port": {"host": "h"},
    "websockify's with a sign": {"host": "h", "port": "+1"},
    "websockify's with port 65536": {"host": "h", "port": "65536"},
    "websockify's with more": {"host": "h", "port": 1, "more": 1},
    "websockify's with a path": {"host": "h/x", "port": 1},
}


@pytest.mark.parametrize("name", REPLIES)
def test_what_is_not_as_the_schema_says_is_no_answer(name):
    with pytest.raises(StoreUnavailable, match="schema"):
        read(REPLIES[name])


def test_a_provider_must_be_said_by_one_of_the_two():
    with pytest.raises(StoreUnavailable, match="provider"):
        read(SMALL, defaults=Defaults(key=KEY))
    assert read({**SMALL, "provider": "esx"}, defaults=Defaults(key=KEY)).provider == "esx"


def test_no_error_quotes_the_answer():
    secret = "canary-in-the-answer"
    for reply in ({**SMALL, "server": f"{secret}/"}, {**SMALL, "mode": secret}, {**SMALL, "target": secret}):
        with pytest.raises(StoreUnavailable) as refused:
            read(reply)
        assert secret not in str(refused.value)


def test_every_key_of_an_answer_is_described():
    place = REPLY["properties"]["target"]
    assert all(rule["description"] for rule in (*REPLY["properties"].values(), *place["properties"].values()))
