"""http.callback without a socket: settings, forms, and what is asked for."""

from __future__ import annotations

import pytest

from consolekit.auth.base import AccessContext
from consolekit.core.errors import ConfigError, TokenRefused
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import Secret
from consolekit.http.callback import CONFIG_SCHEMA, HttpTokens
from consolekit.testing import ManualClock


def make(**options):
    return HttpTokens.from_config({"url": "https://tokens.example.org/v1/", **options}, clock=ManualClock())


@pytest.mark.parametrize(
    "url",
    [
        "https://tokens.example.org",
        "https://tokens.example.org:8443/a/b/",
        "https://[2001:db8::1]/t",
        "http://127.0.0.1:8080/t",
        "http://localhost/t",
        "http://[::1]:80",
    ],
)
def test_services_that_can_be_asked(url):
    request = make(url=url)._request("tok'en|%2e")
    assert request.url == url.rstrip("/") + "/tok%27en%7C%252e"
    assert not request.follow_redirects


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/t",
        "file:///etc/passwd",
        "tokens.example.org",
        "https:///t",
        "https://user:password@h/t",
        "https://h@evil/t",
        "https://h/t?x=1",
        "https://h/t?",
        "https://h/t#x",
        "https://h/a/../b",
        "https://h/a b",
        "https://h\\evil/t",
        "https://h:0/t",
        "https://h:99999/t",
        "https://[::1/t",
        "https://h//t",
        "http://10.0.0.5/t",
        "http://127.0.0.1.example.org/t",
        "http://0.0.0.0/t",
    ],
)
def test_services_that_are_refused_without_a_quote(url):
    with pytest.raises(ConfigError, match=r"^url: ") as refused:
        make(url=url)
    assert url not in str(refused.value)


async def test_a_secret_is_shown_to_the_service_alone(tmp_path):
    file = tmp_path / "secret"
    file.write_text("canary-secret\n")
    tokens = make(secret_file=str(file))
    assert tokens._request("x").headers["Authorization"] == "Bearer canary-secret"
    assert "Authorization" not in make()._request("x").headers
    assert "canary" not in repr(vars(tokens))


@pytest.mark.parametrize("content", [b"", b"two words", b"a\r\nX: y", b"\xff", b"x" * 5000], ids=range(5))
def test_a_secret_that_no_header_holds_is_told(tmp_path, content):
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="secret_file"):
        make(secret_file=str(file))


def test_files_that_cannot_be_used_are_told(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    for options in (
        {"secret_file": str(tmp_path / "missing")},
        {"ca_file": str(tmp_path / "missing")},
        {"ca_file": str(tmp_path / "ca.pem")},
        {"pattern": "("},
        {"console": "-/-"},
    ):
        with pytest.raises(ConfigError, match=next(iter(options))):
            make(**options)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "a?b", "\0", "ä", "\ud800", "a\r\nb", "x" * 4097], ids=range(10)
)
async def test_what_could_be_more_than_a_segment_of_the_path_is_never_asked_for(text, monkeypatch):
    tokens = make()
    monkeypatch.setattr(tokens, "_ask", lambda _: pytest.fail("asked"))
    with pytest.raises(TokenRefused):
        await tokens.validate(Secret(text), AccessContext())


async def test_a_pattern_tells_its_tokens_from_others(monkeypatch):
    tokens = make(pattern="acme-[0-9]+")
    monkeypatch.setattr(tokens, "_ask", lambda _: pytest.fail("asked"))
    assert tokens.recognises(Secret("acme-1"))
    for text in ("acme-", "xacme-1", "acme-1\n", "acme-1x"):
        assert not tokens.recognises(Secret(text))
        with pytest.raises(TokenRefused):
            await tokens.inspect(Secret(text), AccessContext())
    assert not make().recognises(Secret("acme-1"))


def test_names_its_provider_where_it_was_told_one():
    assert make().provider_names() == []
    assert make(provider="lab").provider_names() == ["lab"]


@pytest.mark.parametrize(
    "table", [{}, {"url": ""}, {"url": "https://h", "x": 1}, {"url": "https://h", "session_seconds": 0}]
)
def test_settings_that_are_refused(table):
    assert problems_of(validator_of(CONFIG_SCHEMA), table)


def test_every_key_is_described():
    assert all(rule["description"] for rule in CONFIG_SCHEMA["properties"].values())


async def test_closing_twice_or_unused_is_no_error():
    tokens = make()
    await tokens.aclose()
    await tokens.aclose()
