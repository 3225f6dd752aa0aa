"""A session's life over real sockets: what opens, what is refused before the 101, how it ends."""

from __future__ import annotations

import asyncio

import pytest
import websockets.exceptions
from gateway import CALLER, PipeProvider, echo, resume_key, running, target

from consolekit import Hooks, hookimpl
from consolekit.core.types import Endpoint, Scope
from consolekit.proxy.sessions import Limits


class Diary:
    """Writes down what the hooks say."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @hookimpl
    def consolekit_session_opening(self, session):
        self.lines.append("opening")

    @hookimpl
    def consolekit_session_opened(self, session):
        self.lines.append("opened")

    @hookimpl
    def consolekit_session_closed(self, session):
        self.lines.append(f"closed {session.reason} {session.bytes_in} {session.bytes_out}")

    @hookimpl
    def consolekit_access_refused(self, code, address):
        self.lines.append(f"refused {code} {address}")


async def status_of(attempt) -> int:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refusal:
        await attempt
    response = refusal.value.response
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code


async def test_bytes_go_both_ways_and_the_end_is_written_down():
    diary, hooks = Diary(), Hooks()
    hooks.register(diary)
    async with target(echo) as endpoint, running(PipeProvider({"demo": endpoint}), hooks=hooks) as gateway:
        async with gateway.open(await gateway.token()) as browser:
            assert browser.subprotocol == "binary"
            await browser.send(b"hello")
            assert await browser.recv() == b"hello"
            assert len(gateway.proxy.sessions) == 1
        await gateway.until_no_sessions()
        assert diary.lines == ["opening", "opened", "closed viewer_closed 5 5"]
        assert gateway.kit.registry.get("lab").closed == [endpoint]


async def test_a_token_opens_once_and_never_reaches_the_target_again():
    async with target(echo) as endpoint, running(PipeProvider({"demo": endpoint})) as gateway:
        provider, token = gateway.kit.registry.get("lab"), await gateway.token()
        async with gateway.open(token):
            assert await status_of(gateway.open(token)) == 401
        assert provider.opened == ["demo"]


async def test_the_same_browser_comes_back_with_its_key_and_replaces_its_old_socket():
    async with target(echo) as endpoint, running(PipeProvider({"demo": endpoint})) as gateway:
        token, key = await gateway.token(), resume_key()
        async with (
            gateway.open(token, resume=key) as first,
            gateway.open(token, resume=key) as second,
        ):
            await second.send(b"again")
            assert await second.recv() == b"again"
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await first.recv()
            assert closed.value.rcvd.code == 4005
        await gateway.until_no_sessions()
        async with gateway.open(token, resume=key) as third:
            await third.send(b"third")
            assert await third.recv() == b"third"
        assert await status_of(gateway.open(token, resume=resume_key())) == 401


@pytest.mark.parametrize("scope", ["grant", "session", "server", "subject"])
async def test_revoking_cuts_the_live_session_and_its_resume(scope):
    async with target(echo) as endpoint, running(PipeProvider({"demo": endpoint})) as gateway:
        link, key = await gateway.link(), resume_key()
        async with gateway.open(link.token.reveal(), resume=key) as browser:
            session = next(iter(gateway.proxy.sessions)).info()
            if scope == "grant":
                await gateway.kit.revoke(link.grant_id, caller=CALLER)
            elif scope == "session":
                await listed(gateway, session.id)
                await gateway.kit.kill(session.id, caller=CALLER)
            else:
                value = session.server_id if scope == "server" else session.subject
                await gateway.kit.revoke_all(Scope(scope), value)
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await browser.recv()
            assert closed.value.rcvd.code == 4000
        await gateway.until_no_sessions()
        assert await status_of(gateway.open(link.token.reveal(), resume=key)) == 401


async def listed(gateway, session_id: str) -> None:
    async with asyncio.timeout(20):
        while session_id not in [s.id for s in await gateway.kit.store.sessions()]:
            await asyncio.sleep(0.01)


async def test_a_target_that_refuses_is_a_502_and_the_page_learns_why(unused_tcp_port):
    endpoint = Endpoint(host="127.0.0.1", port=unused_tcp_port)
    async with running(PipeProvider({"demo": endpoint})) as gateway:
        token, key = await gateway.token(), resume_key()
        assert await status_of(gateway.open(token, resume=key)) == 502
        head = f"GET /console/outcome HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\n"
        head += f"Authorization: Bearer {token}\r\nConsolekit-Resume: {key}\r\nConnection: close\r\n\r\n"
        reader, writer = await gateway.raw()
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"code": "connect_failed"' in answer
        assert gateway.kit.registry.get("lab").closed == [endpoint]


async def test_limits_are_429_and_a_target_is_not_reached():
    async with (
        target(echo) as endpoint,
        running(PipeProvider({"demo": endpoint}), limits=Limits(per_server=1)) as gateway,
    ):
        provider, key = gateway.kit.registry.get("lab"), resume_key()
        second = await gateway.token()
        async with gateway.open(await gateway.token()):
            assert await status_of(gateway.open(second, resume=key)) == 429
            assert provider.opened == ["demo"]
        await gateway.until_no_sessions()
        async with gateway.open(second, resume=key):
            assert provider.opened == ["demo", "demo"]


async def test_a_browser_that_leaves_while_we_connect_leaves_nothing_behind():
    hangs = asyncio.Event()

    class Slow(PipeProvider):
        async def open(self, request):
            hangs.set()
            await asyncio.Event().wait()

    async with running(Slow({"demo": Endpoint(host="127.0.0.1", port=1)})) as gateway:
        _, writer = await gateway.raw()
        writer.write(gateway.handshake(await gateway.token()))
        await hangs.wait()
        assert len(gateway.proxy.sessions) == 1
        writer.close()
        await gateway.until_no_sessions()


async def test_case_47_draining_refuses_the_new_and_ends_the_old_with_1001():
    async with target(echo) as endpoint, running(PipeProvider({"demo": endpoint})) as gateway:
        token = await gateway.token()
        async with gateway.open(await gateway.token()) as browser:
            await gateway.proxy.sessions.drain(0)
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await browser.recv()
            assert closed.value.rcvd.code == 1001
        assert await status_of(gateway.open(token)) == 503
