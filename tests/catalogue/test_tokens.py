"""Catalogue, cases 11 to 15 and 20: who may open a console, and who may not any more."""

from __future__ import annotations

import asyncio
import secrets

import pytest
import websockets.exceptions
from gateway import CALLER, PipeProvider, echo, resume_key, target
from hostile import BINARY, Answer, ask, console, frame, house, silence, until, viewer, wire

from consolekit import ConsoleLink, ProviderRegistry
from consolekit.core.address import Address
from consolekit.core.types import ConsoleKey, ConsoleRequest, Grant, Scope
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.proxy.sessions import Limits
from consolekit.testing.clock import ManualClock


def _seen(answer: Answer) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """All that an outsider can tell one answer from another by."""
    headers = tuple(sorted((name, value) for name, value in answer.headers.items() if name != "date"))
    return answer.status, headers, answer.body


def _with_query(handshake: bytes, query: str) -> bytes:
    return handshake.replace(b"GET /ws ", f"GET /ws?{query} ".encode("latin-1"), 1)


async def test_case_11_every_bad_token_gets_the_same_401_and_reaches_nobody():
    async with console(echo) as gateway:
        provider = gateway.kit.registry.get("lab")
        one, other, used = await gateway.token(), await gateway.token(), await gateway.token()
        async with gateway.open(used):
            pass
        await gateway.until_no_sessions()
        opened = len(provider.opened)
        plain = gateway.handshake("", Sec_WebSocket_Protocol="binary")
        hellos = [
            plain,
            gateway.handshake(""),
            gateway.handshake("x"),
            gateway.handshake("ckt_" + secrets.token_urlsafe(32)),
            gateway.handshake(secrets.token_urlsafe(32)),
            gateway.handshake("\xff\xfe"),
            gateway.handshake("x" * 7000),
            gateway.handshake(f"{one};{other}"),
            gateway.handshake(f"{one}, consolekit.token.{other}"),
            gateway.handshake(f"{one}, consolekit.token.{one}"),
            gateway.handshake(one.upper()),
            gateway.handshake(one + "A"),
            gateway.handshake(one[:-1]),
            gateway.handshake(used),
            _with_query(gateway.handshake(one), f"token={other}"),
            _with_query(gateway.handshake(one), "token="),
            _with_query(plain, "token="),
            _with_query(plain, "token"),
            _with_query(plain, f"token={one}&token={other}"),
            _with_query(plain, f"token={one}&token={one}"),
            _with_query(plain, f"token={one};token={other}"),
            _with_query(plain, f"token={one}%00"),
            _with_query(plain, f"token={one}%0d%0aX:y"),
            _with_query(plain, "token=%ff%fe"),
            _with_query(plain, "token=" + "x" * 10_240),
            _with_query(plain, f"Token={one}"),
        ]
        answers = [await ask(gateway, hello) for hello in hellos]
        assert {_seen(answer) for answer in answers} == {_seen(answers[0])}
        assert answers[0].status == 401
        assert answers[0].code == "token_refused"
        assert len(provider.opened) == opened
        for token in (one, other):
            async with gateway.open(token):
                pass


async def test_case_11_a_token_of_10_kib_in_a_header_is_too_large_a_header():
    async with console(echo) as gateway:
        assert (await ask(gateway, gateway.handshake("x" * 10_240))).status == 431


async def test_case_11_bytes_that_http_does_not_allow_are_400():
    async with console(echo) as gateway:
        token = await gateway.token()
        for hello in (
            gateway.handshake(f"{token}\0"),
            _with_query(gateway.handshake(""), f"token={token}\0"),
            _with_query(gateway.handshake(""), f"token={token}\xff"),
            _with_query(gateway.handshake(""), "&".join(f"x{n}=y" for n in range(100)) + f"&token={token}"),
        ):
            assert (await ask(gateway, hello)).status in (400, 401), hello
        async with gateway.open(token):
            pass


@pytest.mark.parametrize("seconds", [60, 61])
async def test_case_12_a_token_is_dead_at_its_expiry_and_after(seconds):
    clock = ManualClock()
    async with console(echo, clock=clock) as gateway:
        token, unknown = await gateway.token(), "ckt_" + secrets.token_urlsafe(32)
        clock.advance(seconds)
        dead = await ask(gateway, gateway.handshake(token))
        never = await ask(gateway, gateway.handshake(unknown))
        assert dead.status == 401
        assert _seen(dead) == _seen(never)
        assert gateway.kit.registry.get("lab").opened == []


async def test_case_12_a_token_lives_until_its_expiry():
    clock = ManualClock()
    async with console(echo, clock=clock) as gateway:
        token = await gateway.token()
        clock.advance(59.999)
        async with gateway.open(token):
            pass


async def test_case_12_a_dead_token_lives_no_longer_when_the_clock_is_set_back_before_it_was_used():
    clock = ManualClock()
    async with console(echo, clock=clock) as gateway:
        token = await gateway.token()
        clock.advance(61)
        assert (await ask(gateway, gateway.handshake(token))).status == 401
        await gateway.kit.store.purge()
        clock.set_back(61)
        assert (await ask(gateway, gateway.handshake(token))).status == 401


async def test_case_13_a_used_token_opens_nothing():
    async with console(echo) as gateway:
        token = await gateway.token()
        async with gateway.open(token):
            assert (await ask(gateway, gateway.handshake(token))).status == 401
        await gateway.until_no_sessions()
        assert (await ask(gateway, gateway.handshake(token))).status == 401
        assert gateway.kit.registry.get("lab").opened == ["demo"]


async def test_case_13_of_many_at_once_one_wins():
    async with console(echo) as gateway:
        hello = gateway.handshake(await gateway.token())
        wires = [wire(gateway) for _ in range(20)]
        connections = [await one.__aenter__() for one in wires]
        await asyncio.gather(*(connection.send(hello) for connection in connections))
        answers = await asyncio.gather(*(connection.answer() for connection in connections))
        assert sorted(answer.status for answer in answers) == [101] + [401] * 19
        assert len(gateway.proxy.sessions) == 1
        assert gateway.kit.registry.get("lab").opened == ["demo"]
        for one in wires:
            await one.__aexit__(None, None, None)


async def test_case_13_after_a_cut_the_same_browser_comes_back_and_no_other():
    async with console(echo) as gateway:
        token, key = await gateway.token(), resume_key()
        offer = f"binary, consolekit.token.{token}, consolekit.resume."
        mine, anothers = offer + key, offer + resume_key()
        async with viewer(gateway, Sec_WebSocket_Protocol=mine) as first:
            first.reset()
            await gateway.until_no_sessions()
        assert (await ask(gateway, gateway.handshake(token))).status == 401
        assert (await ask(gateway, gateway.handshake("", Sec_WebSocket_Protocol=anothers))).status == 401
        async with gateway.open(token, resume=key) as again:
            await again.send(b"again")
            assert await again.recv() == b"again"
            assert len(gateway.proxy.sessions) == 1


async def test_case_13_a_reload_takes_its_own_place_even_where_no_other_is_free():
    limits = Limits(per_server=1, per_subject=1)
    async with console(echo, limits=limits) as gateway:
        token, key = await gateway.token(), resume_key()
        async with gateway.open(token, resume=key), gateway.open(token, resume=key) as second:
            await second.send(b"here")
            assert await second.recv() == b"here"


async def test_case_14_a_token_of_another_proxy_is_unknown():
    async with (
        target(echo) as endpoint,
        house(PipeProvider({"demo": endpoint})) as ours,
        house(PipeProvider({"demo": endpoint})) as theirs,
    ):
        assert (await ask(ours, ours.handshake(await theirs.token()))).status == 401
        assert ours.kit.registry.get("lab").opened == []


async def test_case_14_only_the_token_says_which_console():
    async def name(reader, writer):
        writer.write(b"mine")
        await reader.read()

    async def another(reader, writer):
        writer.write(b"not mine")
        await reader.read()

    async with target(name) as mine, target(another) as theirs:
        provider = PipeProvider({"mine": mine, "theirs": theirs})
        async with house(provider) as gateway:
            token = await gateway.token("mine")
            query = (
                f"token={token}&server=theirs&server_id=theirs&host=127.0.0.1&port={theirs.port}&path=?token="
            )
            hello = _with_query(gateway.handshake("", Sec_WebSocket_Protocol="binary"), query)
            async with wire(gateway) as connection:
                await connection.send(hello)
                assert (await connection.answer()).status == 101
                await until_said(connection, b"mine")
            assert provider.opened == ["mine"]


async def until_said(connection, data: bytes) -> None:
    while not connection.received.endswith(data):
        assert await connection.more()
    assert connection.received == bytes([0x82, len(data)]) + data


def _grant(**changes) -> Grant:
    """A grant as this proxy's own store may hold it after its configuration has changed."""
    request = ConsoleRequest(key=changes.pop("key"), server_id="demo", subject="tests")
    return Grant(id="g", request=request, issued_at=0.0, expires_at=2e10, session_seconds=3600.0, **changes)


@pytest.mark.parametrize(
    ("provider", "key"), [("gone", ConsoleKey("vnc", "novnc")), ("lab", ConsoleKey("mks", "webmks"))]
)
async def test_case_14_a_token_of_another_provider_or_type_reaches_nobody(provider, key):
    async with console(echo) as gateway:
        token = await gateway.kit.issuer.issue(_grant(provider=provider, key=key))
        answer = await ask(gateway, gateway.handshake(token.reveal()))
        assert answer.status == 404
        assert answer.code == "unknown_server"
        assert gateway.kit.registry.get("lab").opened == []


async def test_case_14_each_providers_token_reaches_that_provider():
    class Webmks(PipeProvider):
        keys = (ConsoleKey("mks", "webmks"),)

    async with target(echo) as endpoint:
        vnc, mks = PipeProvider({"demo": endpoint}), Webmks({"demo": endpoint})
        registry = ProviderRegistry()
        registry.add("vnc", vnc)
        registry.add("mks", mks)
        async with house(registry) as gateway, gateway.open(await gateway.token()):
            assert (vnc.opened, mks.opened) == (["demo"], [])


async def _revoke(gateway, link: ConsoleLink, scope: str) -> None:
    if scope == "grant":
        await gateway.kit.revoke(link.grant_id, caller=CALLER)
    elif scope == "session":
        session = next(iter(gateway.proxy.sessions)).info().id
        while session not in [info.id for info in await gateway.kit.store.sessions()]:
            await asyncio.sleep(0.01)
        await gateway.kit.kill(session, caller=CALLER)
    elif scope == "server":  # as for a server that was deleted
        await gateway.kit.revoke_all(Scope.SERVER, "demo")
    else:
        await gateway.kit.revoke_all(Scope.SUBJECT, CALLER.name)


@pytest.mark.parametrize("scope", ["grant", "server", "subject"])
async def test_case_15_a_revoked_token_opens_nothing(scope):
    async with console(echo) as gateway:
        link = await gateway.link()
        await _revoke(gateway, link, scope)
        assert (await ask(gateway, gateway.handshake(link.token.reveal()))).status == 401
        assert gateway.kit.registry.get("lab").opened == []


@pytest.mark.parametrize("scope", ["grant", "session", "server", "subject"])
async def test_case_15_a_revocation_cuts_the_live_session_and_its_resume(scope):
    async with console(echo) as gateway:
        link, key = await gateway.link(), resume_key()
        async with gateway.open(link.token.reveal(), resume=key) as browser:
            await _revoke(gateway, link, scope)
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await browser.recv()
            assert closed.value.rcvd.code == 4000
        with pytest.raises(websockets.exceptions.InvalidStatus):
            await gateway.open(link.token.reveal(), resume=key)


async def test_case_15_a_revocation_cuts_a_session_that_is_stuck_both_ways():
    async def flood(reader, writer):
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with console(flood) as gateway:
        link = await gateway.link()
        async with viewer(gateway, token=link.token.reveal(), receive_buffer=4096) as stuck:
            sending = asyncio.get_running_loop().create_task(_fill(stuck))
            session = next(iter(gateway.proxy.sessions))
            await until(lambda: session.info().bytes_in and session.info().bytes_out, "bytes both ways")
            await _revoke(gateway, link, "grant")
            await gateway.until_no_sessions()
            await sending


async def _fill(browser) -> None:
    piece = frame(BINARY, bytes(60_000))
    try:
        while True:
            await asyncio.get_running_loop().sock_sendall(browser.socket, piece)
    except OSError:
        pass


async def test_case_15_a_revocation_cuts_a_session_that_is_still_being_opened():
    asked = asyncio.Event()

    async def says_nothing(reader, writer):
        asked.set()
        await silence(reader, writer)

    async with target(says_nothing) as endpoint:
        server = VncServer(address=Address(endpoint.host, endpoint.port))
        async with house(VncProvider(servers={"demo": server})) as gateway:
            link = await gateway.link()
            async with wire(gateway) as connection:
                await connection.send(gateway.handshake(link.token.reveal()))
                await asked.wait()
                await _revoke(gateway, link, "grant")
                answer = await connection.answer()
                assert answer.status == 403
                assert answer.code == "access_refused"


ORIGINS = [
    ("https://{host}", 403),  # another scheme
    ("http://{host}0", 403),  # another port
    ("http://127.0.0.1", 403),
    ("http://evil.example", 403),
    ("http://{host}.evil.example", 403),
    ("http://evil.example/http://{host}", 403),
    ("http://{host}/", 403),  # an origin has no path
    ("http://user@{host}", 403),
    ("http://{host} http://evil.example", 403),
    ("http://{host}\r\nOrigin: http://evil.example", 403),
    ("http://{host}\r\nOrigin: http://{host}", 403),
    ("null", 403),
    (" ", 403),
    ("HTTP://{host}", 101),  # the same origin: scheme and host know no case
    ("http://{host}", 101),
]


@pytest.mark.parametrize(("origin", "expected"), ORIGINS)
async def test_case_20_origins(origin, expected):
    async with console(echo) as gateway:
        token = await gateway.token()
        origin = origin.format(host=f"127.0.0.1:{gateway.port}")
        async with wire(gateway) as connection:
            await connection.send(gateway.handshake(token, Origin=origin))
            answer = await connection.answer()
            assert answer.status == expected
        if expected == 403:
            assert answer.code == "origin_refused"
            async with gateway.open(token):  # it was not spent
                pass


@pytest.mark.parametrize(("allowed", "expected"), [(True, 101), (False, 403)])
async def test_case_20_no_origin_is_as_the_operator_says(allowed, expected):
    async with (
        console(echo, allow_no_origin=allowed) as gateway,
        wire(gateway) as connection,
    ):
        await connection.send(gateway.handshake(await gateway.token(), Origin=""))
        assert (await connection.answer()).status == expected
