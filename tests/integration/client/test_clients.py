"""client.clients: every method of both, against the real API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from apiserver import ApiServer, running_api
from consolesite import SERIAL, VNC, make_site, session

from consolekit.client import ApiProblem, AsyncConsoleClient, ConsoleClient
from consolekit.core.errors import (
    CallerRefused,
    ConsoleConflict,
    ConsoleNotImplemented,
    ConsoleUnavailable,
    InvalidRequest,
    NotFound,
    UnknownServer,
    UnsupportedConsole,
)
from consolekit.core.types import ConsoleKey, Mode, Secret

Ask = Callable[..., Any]
OWNER = "tests"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with running_api(make_site(), see_secrets=True) as running:
        yield running


@pytest.fixture(params=["blocking", "awaited"])
async def ask(request: pytest.FixtureRequest, server: ApiServer) -> AsyncIterator[Ask]:
    """Call a method of either client: ``await ask("sessions", server_id="web-1")``."""
    url = f"http://{server.host}"
    if request.param == "awaited":
        async with AsyncConsoleClient(url, server.key) as awaited:
            yield lambda name, *args, **named: getattr(awaited, name)(*args, **named)
        return
    with ConsoleClient(url, server.key) as blocking:
        yield lambda name, *args, **named: asyncio.to_thread(getattr(blocking, name), *args, **named)


async def test_a_link_is_made_redeemed_and_gone(ask: Ask) -> None:
    link = await ask("create", "web-1", SERIAL, subject="alice", ttl_seconds=30, params={"port": 2})
    assert (link.key, link.server_id, link.mode) == (SERIAL, "web-1", Mode.INTERACT)
    token = Secret(link.url.reveal().partition("token=")[2])
    found = await ask("redeem", token)
    assert (found.server_id, found.host, found.port) == ("web-1", "192.0.2.1", 4002)
    with pytest.raises(NotFound):
        await ask("redeem", token)


async def test_a_link_is_taken_back(ask: Ask) -> None:
    link = await ask("create", "web-1")
    assert link.key == VNC
    assert await ask("revoke", link.grant_id) is None
    with pytest.raises(NotFound) as caught:
        await ask("revoke", link.grant_id)
    assert isinstance(caught.value, ApiProblem)


async def test_sessions_are_listed_and_ended(ask: Ask, server: ApiServer) -> None:
    live = [session("s-1"), session("s-2", server_id="db-1")]
    await server.site.store.keep_sessions(OWNER, live)
    assert [found.id for found in await ask("sessions")] == ["s-1", "s-2"]
    (found,) = await ask("sessions", "db-1")
    assert (found.subject, found.key, found.started_at) == ("alice", VNC, 1_800_000_000.25)
    assert await ask("kill", "s-2") is None
    with pytest.raises(NotFound):
        await ask("kill", "s-3")


async def test_what_a_server_has(ask: Ask) -> None:
    assert [(str(offer.key), offer.available) for offer in await ask("offers", "web-1")] == [
        ("serial/serial", True),
        ("vnc/novnc", True),
    ]
    (off,) = await ask("offers", "off-1")
    assert (off.available, off.code) == (False, "console_conflict")


async def test_what_opens_it_past_the_gateway(ask: Ask) -> None:
    info = await ask("connect_info", "web-1", SERIAL)
    assert dict(info.members) == {"host": "192.0.2.1", "port": 4000, "sessionTicket": "of the wires"}
    with pytest.raises(UnsupportedConsole) as caught:
        await ask("connect_info", "web-1", ConsoleKey("spice", "spice-html5"))
    assert caught.value.status == 404
    with pytest.raises(ConsoleNotImplemented):
        await ask("connect_info", "web-1", VNC)


async def test_the_schema_is_this_site_s(ask: Ask, server: ApiServer) -> None:
    assert await ask("schema") == server.site.kit.schema.document()


@pytest.mark.parametrize(
    ("server_id", "key", "error"),
    [
        ("off-1", VNC, ConsoleConflict),
        ("nobody", VNC, UnknownServer),
        ("web-1", ConsoleKey("mks", "webmks"), UnsupportedConsole),
        ("..", VNC, InvalidRequest),
        ("", VNC, InvalidRequest),
        ("a/b", VNC, InvalidRequest),
    ],
)
async def test_refusals_are_the_gateway_s_own(
    ask: Ask, server_id: str, key: ConsoleKey, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        await ask("create", server_id, key)
    assert isinstance(caught.value, ApiProblem)


async def test_when_to_come_back_is_told(ask: Ask) -> None:
    with pytest.raises(ConsoleUnavailable) as caught:
        await ask("create", "late-1")
    assert caught.value.retryable
    assert getattr(caught.value, "retry_after") == 5.0  # noqa: B009 - ApiProblem's, of the class made for both


async def test_nothing_secret_is_logged(
    ask: Ask, caplog: pytest.LogCaptureFixture, server: ApiServer
) -> None:
    caplog.set_level(logging.DEBUG)
    link = await ask("create", "web-1", SERIAL)
    token = link.url.reveal().partition("token=")[2]
    await ask("redeem", Secret(token))
    with pytest.raises(NotFound) as caught:
        await ask("redeem", Secret(token))
    written = caplog.text + repr(caught.value) + str(caught.value)
    assert token not in written
    assert server.key.reveal() not in written


async def test_a_wrong_key_is_told_as_such(server: ApiServer) -> None:
    async with AsyncConsoleClient(f"http://{server.host}", Secret("cka_wrong")) as client:
        with pytest.raises(CallerRefused):
            await client.sessions()
        assert repr(client) == f"AsyncConsoleClient('http://{server.host}')"


async def test_many_threads_share_a_client(server: ApiServer) -> None:
    with ConsoleClient(f"http://{server.host}", server.key) as client:
        links = await asyncio.gather(*(asyncio.to_thread(client.create, "web-1") for _ in range(16)))
    assert len({link.grant_id for link in links}) == 16
