"""The opening handshake, field by field: RFC 6455, 4.2.1 and what carries the token."""

import pytest

from consolekit.core.errors import BadUpgrade, ConsoleKitError, TokenRefused, UpgradeRequired
from consolekit.proxy.upgrade import hash_resume_key, parse_upgrade

TOKEN = "ckt_" + "a" * 43
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3


def headers(**changes: list[str]) -> dict[str, list[str]]:
    given = {
        "upgrade": ["websocket"],
        "connection": ["Upgrade"],
        "sec-websocket-version": ["13"],
        "sec-websocket-key": [KEY],
        "sec-websocket-protocol": [f"binary, consolekit.token.{TOKEN}"],
    }
    return {**given, **{name.replace("_", "-"): value for name, value in changes.items()}}


def test_a_good_one_gives_the_accept_of_the_rfc():
    upgrade = parse_upgrade("HTTP/1.1", headers(), [])
    assert upgrade.accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert upgrade.subprotocol == "binary"
    assert upgrade.token.reveal() == TOKEN
    assert upgrade.resume_hash == ""


def test_the_response_names_the_subprotocol_and_no_extension():
    response = parse_upgrade(
        "HTTP/1.1", headers(sec_websocket_extensions=["permessage-deflate"]), []
    ).response()
    assert response.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Protocol: binary\r\n" in response
    assert b"xtension" not in response
    assert response.endswith(b"\r\n\r\n")
    assert TOKEN.encode() not in response


def test_the_token_may_come_in_the_query_and_then_no_subprotocol_is_needed():
    upgrade = parse_upgrade("HTTP/1.1", headers(sec_websocket_protocol=[]), [TOKEN])
    assert upgrade.token.reveal() == TOKEN
    assert upgrade.subprotocol == ""
    assert b"Protocol" not in upgrade.response().replace(b"Switching Protocols", b"")


def test_offers_are_trimmed_and_may_fill_several_lines():
    upgrade = parse_upgrade(
        "HTTP/1.1", headers(sec_websocket_protocol=["base64 ,  binary", f"consolekit.token.{TOKEN}"]), []
    )
    assert upgrade.subprotocol == "binary"
    assert upgrade.token.reveal() == TOKEN


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        ("HTTP/1.0", {}),
        ("HTTP/1.1", {"upgrade": []}),
        ("HTTP/1.1", {"upgrade": ["h2c"]}),
        ("HTTP/1.1", {"connection": ["keep-alive"]}),
        ("HTTP/1.1", {"connection": []}),
        ("HTTP/1.1", {"sec_websocket_version": []}),
        ("HTTP/1.1", {"sec_websocket_version": ["8"]}),
        ("HTTP/1.1", {"sec_websocket_version": ["12"]}),
        ("HTTP/1.1", {"sec_websocket_version": ["13", "13"]}),
    ],
)
def test_what_is_no_handshake_of_version_13_is_told_so(version, changes):
    with pytest.raises(UpgradeRequired):
        parse_upgrade(version, headers(**changes), [])


@pytest.mark.parametrize("keys", [[], [KEY, KEY], ["short"], ["AAAA"], ["!" * 24], ["é" * 24], [""]])
def test_a_wrong_key_is_refused(keys):
    with pytest.raises(BadUpgrade):
        parse_upgrade("HTTP/1.1", headers(sec_websocket_key=keys), [])


def test_offering_only_unknown_subprotocols_is_refused():
    with pytest.raises(BadUpgrade, match="binary"):
        parse_upgrade("HTTP/1.1", headers(sec_websocket_protocol=["base64"]), [TOKEN])


@pytest.mark.parametrize(
    ("protocols", "query"),
    [
        (["binary"], []),
        ([f"binary, consolekit.token.{TOKEN}, consolekit.token.{TOKEN}"], []),
        ([f"binary, consolekit.token.{TOKEN}"], [TOKEN]),
        (["binary"], [TOKEN, TOKEN]),
    ],
)
def test_exactly_one_token_is_shown(protocols, query):
    with pytest.raises(TokenRefused) as refusal:
        parse_upgrade("HTTP/1.1", headers(sec_websocket_protocol=protocols), query)
    assert TOKEN not in str(refusal.value)


def test_a_resume_key_is_hashed_and_a_malformed_one_is_none():
    key = "k" * 43
    offers = [f"binary, consolekit.token.{TOKEN}, consolekit.resume.{key}"]
    upgrade = parse_upgrade("HTTP/1.1", headers(sec_websocket_protocol=offers), [])
    assert upgrade.resume_hash == hash_resume_key(key)
    assert len(upgrade.resume_hash) == 64
    assert hash_resume_key("k" * 42) == hash_resume_key("é" * 43) == hash_resume_key("") == ""


def test_no_refusal_quotes_what_was_sent():
    canary = "CANARY" * 5
    for name in ("sec_websocket_key", "sec_websocket_protocol", "upgrade"):
        with pytest.raises(ConsoleKitError) as refusal:
            parse_upgrade("HTTP/1.1", headers(**{name: [canary]}), [])
        assert canary not in str(refusal.value)


def test_the_resume_key_may_come_in_the_query_and_not_twice():
    key = "k" * 43
    bare = headers(sec_websocket_protocol=["binary"])
    assert parse_upgrade("HTTP/1.1", bare, [TOKEN], [key]).resume_hash == hash_resume_key(key)
    assert parse_upgrade("HTTP/1.1", bare, [TOKEN], [key, key]).resume_hash == ""
    both = headers(sec_websocket_protocol=[f"binary, consolekit.resume.{key}"])
    assert parse_upgrade("HTTP/1.1", both, [TOKEN], [key]).resume_hash == ""
