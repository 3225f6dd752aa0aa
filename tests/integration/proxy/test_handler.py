"""The websocket's request and the outcome: what is asked of whom, and what the browser is told."""

from __future__ import annotations

import asyncio

import pytest
from gateway import Gateway, PipeProvider, echo, resume_key, target
from hostile import BINARY, Answer, Viewer, ask, console, frame, house, request, until, viewer, wire

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.chain import ValidatorChain
from consolekit.core.errors import ConsoleUnavailable, StoreUnavailable, TokenRefused
from consolekit.core.types import Endpoint, Scope
from consolekit.proxy.session import Session
from consolekit.proxy.sessions import Limits


def refused(gateway: Gateway, code: str) -> float:
    return gateway.proxy.metrics.registry.get_sample_value("consolekit_refusals_total", {"code": code})


async def outcome(gateway: Gateway, token: str, key: str, scheme: str = "Bearer") -> Answer:
    lines = (f"Authorization: {scheme} {token}", f"Consolekit-Resume: {key}")
    return await ask(gateway, request(gateway, "/console/outcome", *lines))


# ---- redeem


class Elsewhere(TokenValidator):
    """A second validator, which knows one token of its own."""

    def __init__(self, grant, token: str, failure: Exception | None = None) -> None:
        self.grant, self.token, self.failure = grant, token, failure
        self.contexts: list[AccessContext] = []

    async def inspect(self, token, context):
        raise NotImplementedError

    async def validate(self, token, context):
        self.contexts.append(context)
        if self.failure is not None:
            raise self.failure
        if token.reveal() != self.token:
            raise TokenRefused("not mine")
        return self.grant


async def test_validators_are_asked_in_order_until_one_knows_the_token():
    async with console(echo) as gateway:
        link, key = await gateway.link(), resume_key()
        grant = (await gateway.kit.store.grants())[0]
        second = Elsewhere(grant, "theirs")
        gateway.kit.validators = ValidatorChain([*gateway.kit.validators, second])
        async with viewer(gateway, token=f"theirs, consolekit.resume.{key}"):
            assert len(gateway.proxy.sessions) == 1
        (context,) = second.contexts
        assert context.address == "127.0.0.1"
        assert len(context.resume_hash) == 64
        await gateway.until_no_sessions()
        async with viewer(gateway, token=link.token.reveal()):
            assert len(second.contexts) == 1  # the first knew it
        assert (await ask(gateway, gateway.handshake("nobodys"))).status == 401


async def test_a_validator_that_cannot_tell_ends_the_asking():
    async with console(echo) as gateway:
        away = Elsewhere(None, "", StoreUnavailable("away"))
        gateway.kit.validators = ValidatorChain([away, *gateway.kit.validators])
        answer = await ask(gateway, gateway.handshake("of no form"))
        assert (answer.status, answer.code) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert gateway.kit.registry.get("lab").opened == []
        assert refused(gateway, "store_unavailable") == 1


async def test_without_a_validator_every_token_is_refused():
    async with console(echo) as gateway:
        gateway.kit.validators = ValidatorChain([])
        assert (await ask(gateway, gateway.handshake("x"))).status == 401
        assert (await outcome(gateway, "x", resume_key())).status == 401


async def test_the_nova_address_works_as_well():
    async with console(echo) as gateway, wire(gateway) as connection:
        hello = gateway.handshake("", Sec_WebSocket_Protocol="binary")
        token = await gateway.token()
        await connection.send(hello.replace(b"GET /ws ", f"GET /websockify?token={token} ".encode()))
        assert (await connection.answer()).status == 101


# ---- the moment of the 101


async def test_a_viewer_that_reads_no_answer_still_gets_its_101_whole():
    """Its system's buffers are full of answers to what it asked before; the 101 waits for room."""
    async with console(echo) as gateway, wire(gateway, receive_buffer=4096) as connection:
        slow = Viewer(connection.socket)
        pages = [request(gateway, "/console/assets/main.js")] * 100
        hello = gateway.handshake(await gateway.token())
        sending = asyncio.get_running_loop().create_task(
            slow.send(b"".join(pages) + hello + frame(BINARY, b"hello"))
        )
        for _ in pages:
            assert (await slow.answer()).status == 200
        assert (await slow.answer()).status == 101
        assert await slow.bytes(5) == b"hello"
        await sending


async def test_a_viewer_that_leaves_while_the_console_is_opened_is_counted():
    opening = asyncio.Event()

    class Slow(PipeProvider):
        async def open(self, request):
            opening.set()
            await asyncio.Event().wait()

    async with house(Slow({"demo": Endpoint(host="127.0.0.1", port=1)})) as gateway:
        async with wire(gateway) as connection:
            await connection.send(gateway.handshake(await gateway.token()))
            await opening.wait()
        await gateway.until_no_sessions()
        await until(lambda: refused(gateway, "viewer_gone") == 1, "the count")


@pytest.mark.parametrize("way", ["revoked", "draining"])
async def test_a_session_that_is_ended_while_it_is_opened_is_refused_by_that_name(way):
    opening = asyncio.Event()

    class Slow(PipeProvider):
        async def open(self, request):
            opening.set()
            await asyncio.Event().wait()

    async with (
        house(Slow({"demo": Endpoint(host="127.0.0.1", port=1)})) as gateway,
        wire(gateway) as connection,
    ):
        await connection.send(gateway.handshake(await gateway.token()))
        await opening.wait()
        if way == "draining":
            await gateway.proxy.sessions.drain(0)
        else:
            await gateway.kit.revoke_all(Scope.SERVER, "demo")
        answer = await connection.answer()
        assert (answer.status, answer.code) == {
            "revoked": (403, "access_refused"), "draining": (503, "draining"),
        }[way]  # fmt: skip


@pytest.mark.parametrize("way", ["revoked", "gone", "drained"])
async def test_no_session_is_lost_between_its_opening_and_its_101(way, monkeypatch):
    """The server is ready; before the handler goes on, something else happens in the same turn."""
    real, happen = Session.open, []

    async def open_and(session):
        await real(session)
        asyncio.get_running_loop().call_soon(happen[0])

    monkeypatch.setattr(Session, "open", open_and)
    async with console(echo) as gateway, wire(gateway) as connection:
        happen.append(
            connection.reset
            if way == "gone"
            else lambda: next(iter(gateway.proxy.sessions)).end("revoked" if way == "revoked" else "draining")
        )
        await connection.send(gateway.handshake(await gateway.token()))
        if way != "gone":
            async with asyncio.timeout(10):
                answer = await connection.answer()
            assert answer.status in (101, 403, 503)
        await gateway.until_no_sessions()
        await until(lambda: len(gateway.kit.registry.get("lab").closed) == 1, "the provider's close")


@pytest.mark.parametrize("turns", range(8))
async def test_a_session_ended_at_any_turn_around_its_101_ends(turns):
    """However many turns of the loop after it appears: it ends, and everything is given back."""
    async with console(echo) as gateway, wire(gateway) as connection:
        ended = asyncio.Event()

        async def ends_it() -> None:
            await until(lambda: len(gateway.proxy.sessions), "the session")
            session = next(iter(gateway.proxy.sessions))
            for _ in range(turns):
                await asyncio.sleep(0)
            session.end("revoked")
            session.end("draining")  # the first reason stays
            ended.set()

        ending = asyncio.get_running_loop().create_task(ends_it())
        await connection.send(gateway.handshake(await gateway.token()))
        await ended.wait()
        assert (await connection.answer()).status in (101, 403)
        await gateway.until_no_sessions()
        await until(lambda: len(gateway.kit.registry.get("lab").closed) == 1, "the provider's close")
        await ending


# ---- the outcome


async def test_the_outcome_of_a_refusal_a_limit_and_an_end_is_told_to_the_same_browser_alone():
    async with target(echo) as endpoint:
        provider = PipeProvider({"demo": endpoint, "dead": Endpoint(host="127.0.0.1", port=1)})
        async with house(provider, limits=Limits(per_server=1)) as gateway:
            key = resume_key()
            dead, limited, lived = [await gateway.token(name) for name in ("dead", "demo", "demo")]
            offers = "binary, consolekit.token.{}, consolekit.resume." + key
            async with viewer(gateway, Sec_WebSocket_Protocol=offers.format(lived)):
                for token, status, code in ((dead, 502, "connect_failed"), (limited, 429, "limit_reached")):
                    hello = gateway.handshake("", Sec_WebSocket_Protocol=offers.format(token))
                    assert (await ask(gateway, hello)).status == status
                    told = await outcome(gateway, token, key)
                    assert (told.status, told.code) == (200, code)
                    assert b'"resumable": true' in told.body
                assert (await outcome(gateway, lived, key)).code == "unknown"  # it lives
            await gateway.until_no_sessions()
            assert (await outcome(gateway, lived, key)).code == "viewer_gone"
            for token, other, scheme in (
                (lived, resume_key(), "Bearer"), (lived, "", "Bearer"), (lived, key, "Basic"),
                ("ckt_" + "A" * 43, key, "Bearer"), ("", key, "Bearer"), ("\xff", key, "Bearer"),
            ):  # fmt: skip
                answer = await outcome(gateway, token, other, scheme)
                assert (answer.status, answer.code) == (401, "token_refused")
                assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_providers_own_refusal_is_the_answer_and_the_outcome():
    class Off(PipeProvider):
        async def open(self, request):
            raise ConsoleUnavailable("it is off")

    async with house(Off({"demo": Endpoint(host="127.0.0.1", port=1)})) as gateway:
        token, key = await gateway.token(), resume_key()
        hello = gateway.handshake(f"{token}, consolekit.resume.{key}")
        answer = await ask(gateway, hello)
        assert (answer.status, answer.code) == (503, "console_unavailable")
        assert b"it is off" not in answer.body
        assert (await outcome(gateway, token, key)).code == "console_unavailable"


async def test_the_limit_of_addresses_is_asked_before_the_token():
    async with console(echo, limits=Limits(per_address=1)) as gateway:
        token = await gateway.token()
        async with viewer(gateway):
            answer = await ask(gateway, gateway.handshake(token))
            assert (answer.status, answer.code) == (429, "limit_reached")
        await gateway.until_no_sessions()
        async with viewer(gateway, token=token):  # not spent
            pass
