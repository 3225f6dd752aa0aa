"""asgi.messages: whose request it is, and the headers that no answer goes without."""

from __future__ import annotations

import pytest
from asgiserver import Connection, http

from consolekit.asgi.messages import Request, Unfit, answer
from consolekit.core.networks import NOWHERE, Networks
from consolekit.http.headers import SAFE_HEADERS

HOSTS = {"consoles.example.org"}
FRONT = Networks.parse(["192.0.2.0/24"])


def read(connection: Connection, trusted: Networks = NOWHERE) -> Request:
    return Request.of(connection.scope, prefix="/gw", hosts=HOSTS, trusted=trusted)


def test_the_viewer_s_address_is_its_own_behind_trusted_proxies() -> None:
    asked = http("/gw/ws", x_forwarded_for="198.51.100.9")
    assert read(asked).address == "192.0.2.7"
    assert read(asked, FRONT).address == "198.51.100.9"
    with pytest.raises(Unfit, match="400"):
        read(http("/gw/ws", x_forwarded_for="nonsense"), FRONT)


def test_a_server_that_knows_no_address() -> None:
    asked = http("/gw/ws")
    asked.scope["client"] = None
    assert read(asked).address == ""


def test_two_hosts_are_none() -> None:
    asked = http("/gw/ws")
    asked.scope["headers"] *= 2
    with pytest.raises(Unfit, match="400"):
        read(asked)


def test_many_headers_are_too_many() -> None:
    asked = http("/gw/ws")
    asked.scope["headers"] += [(b"x", b"1")] * 100
    with pytest.raises(Unfit, match="431"):
        read(asked)


def test_values_keep_their_lines() -> None:
    asked = http("/gw/ws", origin="https://a")
    asked.scope["headers"].append((b"Origin", b"https://b"))
    request = read(asked)
    assert request.headers["origin"] == ["https://a", "https://b"]
    assert (request.header("origin"), request.header("nothing")) == ("https://b", "")
    assert "https://a" not in repr(request)


async def test_no_answer_goes_without() -> None:
    connection = Connection({})
    await answer(connection.send, 200, b"body", {"Cache-Control": "no-cache"})
    headers = {name.decode(): value.decode() for name, value in connection.sent.get_nowait()["headers"]}
    safe = {name.lower(): value for name, value in SAFE_HEADERS.items()}
    assert headers == {**safe, "cache-control": "no-cache", "content-length": "4"}
    assert connection.sent.get_nowait()["body"] == b"body"
