"""auth.tokenfile: what becomes of a line, and of a file that cannot be read in time."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from consolekit.auth.base import AccessContext
from consolekit.auth.tokenfile import CONFIG_SCHEMA, FileTokens
from consolekit.core.errors import ConfigError, StoreUnavailable, TokenRefused
from consolekit.core.schema import SERVER_ID, SUBJECT, problems_of, validator_of
from consolekit.core.types import ConsoleKey, Secret, Target
from consolekit.testing import ManualClock

TOKEN = "a-token-of-the-file"
MINE = AccessContext(resume_hash="a" * 64)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}: 10.0.0.5:5901\n")
    return path


@pytest.fixture
async def tokens(file, clock):
    made = FileTokens.from_config({"path": str(file), "provider": "lab"}, clock=clock)
    yield made
    await made.aclose()


async def test_a_token_names_a_place_for_the_provider(tokens, clock):
    grant = await tokens.validate(Secret(TOKEN), MINE)
    assert grant.target == Target(host="10.0.0.5", port=5901)
    assert (grant.provider, grant.request.key) == ("lab", ConsoleKey("vnc", "novnc"))
    assert (grant.request.server_id, grant.request.subject) == ("10.0.0.5:5901", "file:10.0.0.5:5901")
    assert (grant.issued_at, grant.expires_at) == (clock.now(), clock.now() + 43200)
    assert tokens.provider_names() == ["lab"]
    assert (await tokens.validate(Secret(TOKEN), MINE)).id == grant.id
    assert grant.id.startswith("file-")


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::1]", "h" * 110])
async def test_every_place_makes_a_server_s_id_and_a_subject(host, file, clock, tokens):
    file.write_text(f"{TOKEN}: {host}:65535\n")
    request = (await tokens.validate(Secret(TOKEN), MINE)).request
    assert problems_of(validator_of(SERVER_ID), request.server_id) == []
    assert problems_of(validator_of(SUBJECT), request.subject) == []


async def test_settings_say_what_the_consoles_are(file, clock):
    more = {"console": "spice/spice-html5", "subject": "lab", "session_seconds": 60}
    tokens = FileTokens.from_config({"path": str(file), "provider": "lab", **more}, clock=clock)
    grant = await tokens.validate(Secret(TOKEN), MINE)
    assert str(grant.request.key) == "spice/spice-html5"
    assert (grant.request.subject, grant.session_seconds) == ("lab", 60)
    await tokens.aclose()


@pytest.mark.parametrize(
    "text", ["", TOKEN.upper(), TOKEN[:-1], TOKEN + TOKEN, f"../{TOKEN}", "\ud800", "\0"]
)
async def test_nothing_else_opens(text, tokens):
    with pytest.raises(TokenRefused):
        await tokens.validate(Secret(text), MINE)


async def test_a_change_counts_within_a_quarter_of_a_second(tokens, file, clock):
    await tokens.validate(Secret(TOKEN), MINE)
    file.write_text("")
    await tokens.validate(Secret(TOKEN), MINE)
    clock.advance(0.25)
    with pytest.raises(TokenRefused):
        await tokens.validate(Secret(TOKEN), MINE)


async def test_a_file_system_that_hangs_is_503_in_time_and_asked_by_one_thread(tokens, monkeypatch):
    released, begun = threading.Event(), []

    def hang(now):
        begun.append(now)
        released.wait()
        return {}

    monkeypatch.setattr(tokens._folder, "tokens", hang)
    tokens.seconds = 0.05
    calls = (tokens.validate(Secret(TOKEN), MINE) for _ in range(5))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 5
    assert len(begun) == 1
    released.set()
    with pytest.raises(TokenRefused):
        await tokens.validate(Secret(TOKEN), MINE)


def test_a_path_with_nothing_there_is_told_at_the_start(tmp_path, clock):
    with pytest.raises(ConfigError, match=r"path: .*tokens: No such file"):
        FileTokens.from_config({"path": str(tmp_path / "tokens"), "provider": "lab"}, clock=clock)


def test_a_console_that_is_no_pair_is_told(file, clock):
    with pytest.raises(ConfigError, match="console"):
        FileTokens.from_config({"path": str(file), "provider": "lab", "console": "-/-"}, clock=clock)


@pytest.mark.parametrize(
    "table", [{}, {"path": "x"}, {"path": "", "provider": "x"}, {"path": "x", "provider": "x", "y": 1}]
)
def test_settings_that_are_refused(table):
    assert problems_of(validator_of(CONFIG_SCHEMA), table)


def test_every_key_is_described():
    assert all(rule["description"] for rule in CONFIG_SCHEMA["properties"].values())


async def test_no_log_holds_a_token(tokens, caplog):
    caplog.set_level(logging.DEBUG)
    await tokens.validate(Secret(TOKEN), MINE)
    assert TOKEN not in caplog.text
