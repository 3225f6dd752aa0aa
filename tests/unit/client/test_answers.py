"""client.answers: what is read, what is not, and what is never printed."""

from __future__ import annotations

from typing import Any

import pytest

from consolekit.client import answers
from consolekit.client.problems import UnexpectedAnswer
from consolekit.core.types import ConsoleKey, Mode

KEY = ConsoleKey("vnc", "novnc")
PAIR = {"protocol": "vnc", "type": "novnc"}
CONSOLE = {
    **PAIR,
    "mode": "view",
    "url": "https://gw.example.org/console/#token=ckt_hidden",
    "server_id": "web-1",
    "grant_id": "g-1",
    "expires_at": "2026-11-21T02:43:00.500Z",
}
SESSION = {
    **PAIR,
    "session_id": "s-1",
    "grant_id": "g-1",
    "server_id": "web-1",
    "subject": "alice",
    "mode": "interact",
    "address": "192.0.2.7",
    "started_at": "2026-11-21T02:43:00.000Z",
    "bytes_in": 7,
    "bytes_out": 11,
}


def test_a_console_is_read_and_its_link_is_not_printed() -> None:
    console = answers.console({**CONSOLE, "of a newer gateway": 1})
    assert (console.key, console.mode, console.grant_id) == (KEY, Mode.VIEW, "g-1")
    assert console.expires_at == 1795228980.5
    assert console.url.reveal() == CONSOLE["url"]
    assert "ckt_hidden" not in repr(console)


def test_a_session_is_read() -> None:
    (found,) = answers.sessions({"sessions": [SESSION]})
    assert (found.id, found.key, found.subject, found.bytes_out) == ("s-1", KEY, "alice", 11)
    assert found.started_at == 1795228980.0


def test_offers_say_why_one_cannot_be_had() -> None:
    found = answers.offers(
        {"consoles": [{**PAIR, "available": False, "code": "console_conflict"}, {**PAIR, "available": True}]}
    )
    assert [(offer.available, offer.code) for offer in found] == [(False, "console_conflict"), (True, "")]


def test_what_opens_a_console_past_the_gateway_is_not_printed() -> None:
    body = {**PAIR, "server_id": "web-1", "connect_info": {"sessionTicket": "cst-hidden", "port": 7343}}
    info = answers.connect_info(body)
    assert info.members["sessionTicket"] == "cst-hidden"
    assert "cst-hidden" not in repr(info)
    shown = {"instance_uuid": "web-1", "host": "esx", "port": 902, "internal_access_path": "hidden-ticket"}
    redeemed = answers.redeemed({"console": shown})
    assert redeemed.access is not None
    assert redeemed.access.reveal() == "hidden-ticket"
    assert "hidden-ticket" not in repr(redeemed)
    assert answers.redeemed({"console": {**shown, "internal_access_path": None}}).access is None


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="array"),
        pytest.param({}, id="empty"),
        pytest.param({**CONSOLE, "url": 7}, id="url"),
        pytest.param({**CONSOLE, "mode": "secret-word"}, id="mode"),
        pytest.param({**CONSOLE, "protocol": "Secret Word"}, id="protocol"),
        pytest.param({**CONSOLE, "expires_at": "soon"}, id="instant"),
        pytest.param({**CONSOLE, "expires_at": "2026-11-21T02:43:00"}, id="zone"),
    ],
)
def test_what_is_no_console_is_refused_unquoted(wrong: Any) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        answers.console(wrong)
    assert "ecret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "read", [answers.offers, answers.sessions, answers.connect_info, answers.redeemed, answers.schema]
)
def test_every_reader_refuses_what_it_cannot_read(read: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        read(["no object"])
