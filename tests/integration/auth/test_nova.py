"""auth.nova with a Keystone and a Nova that answer over HTTP: what is found, and every way it can fail."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from novastub import PASSWORD, NovaStub, nova

from consolekit.auth.base import AccessContext
from consolekit.auth.nova import NovaTokens
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import ConsoleKey, Grant, Secret
from consolekit.testing.clock import ManualClock

ANYBODY = AccessContext(address="192.0.2.7")
UNKNOWN = "00000000-0000-4000-8000-000000000000"
MKS = json.dumps({"ticket": "t-52", "cfgFile": "/vmfs/a b.vmx", "thumbprint": "ab" * 20})


@pytest.fixture
def stub() -> Iterator[NovaStub]:
    with nova() as running:
        yield running


@asynccontextmanager
async def validator(stub: NovaStub, **options: object) -> AsyncIterator[NovaTokens]:
    given = {"auth": stub.auth(), "vnc_provider": "lab", "mks_provider": "esx", **options}
    tokens = NovaTokens(clock=ManualClock(), **given)  # type: ignore[arg-type]  # a table of options
    try:
        yield tokens
    finally:
        stub.released.set()
        await tokens.aclose()
        # threads that hung must be over before the next test looks at what is left
        await asyncio.to_thread(tokens._pool.shutdown, True)


async def validate(tokens: NovaTokens, token: str) -> Grant:
    return await tokens.validate(Secret(token), ANYBODY)


@pytest.mark.parametrize(("latest", "asked"), [((2, 99), ["2.99"]), ((2, 31), ["2.99", "2.31"])])
async def test_a_console_of_each_microversion(
    stub: NovaStub, latest: tuple[int, int], asked: list[str]
) -> None:
    stub.latest = latest
    async with validator(stub) as tokens:
        grant = await validate(tokens, stub.add("192.0.2.1", 5901))
        assert grant.request.key == ConsoleKey("vnc", "novnc")
        assert grant.request.server_id == "b48316c5-71e8-45e4-9884-6c78055b9b13"
        assert (grant.provider, grant.target.host, grant.target.port) == ("lab", "192.0.2.1", 5901)
        assert grant.target.access is None
        assert stub.versions == asked
        await validate(tokens, stub.add())
        assert stub.versions == [*asked, asked[-1]], "what Nova knows is remembered"
        assert stub.logins == 1


@pytest.mark.parametrize("access", [MKS, "/ticket/cst-52"])
async def test_consoles_of_vmware(stub: NovaStub, access: str) -> None:
    async with validator(stub) as tokens:
        grant = await validate(tokens, stub.add("esx-1", 902, access))
        assert (grant.provider, str(grant.request.key)) == ("esx", "mks/webmks")
        assert grant.target.access == Secret(access)
        assert "52" not in repr(grant)


@pytest.mark.parametrize(
    ("name", "pair"), [("serial_provider", "serial/serial"), ("spice_provider", "spice/spice-html5")]
)
async def test_what_is_not_vmware_s_is_of_the_one_configured_type(
    stub: NovaStub, name: str, pair: str
) -> None:
    async with validator(stub, vnc_provider="", **{name: "lines"}) as tokens:
        grant = await validate(tokens, stub.add("192.0.2.1", 10000))
        assert (grant.provider, str(grant.request.key), grant.target.port) == ("lines", pair, 10000)
        assert (await validate(tokens, stub.add("esx-1", 902, MKS))).provider == "esx"


async def test_with_vmware_s_alone_others_are_refused(stub: NovaStub) -> None:
    async with validator(stub, vnc_provider="") as tokens:
        with pytest.raises(TokenRefused):
            await validate(tokens, stub.add())


async def test_native_spice_is_refused(stub: NovaStub) -> None:
    async with validator(stub) as tokens:
        with pytest.raises(TokenRefused):
            await validate(tokens, stub.add(tls_port=5902))


async def test_a_token_is_good_as_long_as_nova_says(stub: NovaStub) -> None:
    token = stub.add()
    async with validator(stub) as tokens:
        first, second = await validate(tokens, token), await validate(tokens, token)
        assert first.id != second.id
        del stub.consoles[token]
        with pytest.raises(TokenRefused):
            await validate(tokens, token)


async def test_a_hundred_waiters_renew_an_expired_service_token_once(stub: NovaStub) -> None:
    async with validator(stub, seconds=30.0) as tokens:
        token = stub.add()
        await validate(tokens, token)
        assert stub.logins == 1
        stub.expire()
        grants = await asyncio.gather(*(validate(tokens, token) for _ in range(100)))
        assert len({grant.id for grant in grants}) == 100
        assert stub.logins == 2, "one re-authentication for all"
        assert stub.lookups[200] == 101
        assert stub.lookups[401] <= 8, "no more than there are threads"


async def test_a_nova_that_believes_no_service_token_is_not_stormed(stub: NovaStub) -> None:
    async with validator(stub, seconds=30.0) as tokens:
        token = stub.add()
        await validate(tokens, token)
        stub.trusts = False
        ends = await asyncio.gather(*(validate(tokens, token) for _ in range(100)), return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailable}
        assert stub.logins == 2
        assert stub.lookups[401] <= 200


async def test_a_keystone_that_fails_is_asked_once_for_all(stub: NovaStub) -> None:
    stub.auth_fault = 503
    async with validator(stub, seconds=30.0) as tokens:
        ends = await asyncio.gather(*(validate(tokens, UNKNOWN) for _ in range(100)), return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailable}
        assert stub.logins == 1
        assert stub.lookups == {}
        stub.auth_fault = 0
        await validate(tokens, stub.add())


FAULTS: list[tuple[str, dict[str, object], type[Exception]]] = [
    ("unknown", {}, TokenRefused),
    ("400", {"fault": 400}, TokenRefused),
    ("404", {"fault": 404}, TokenRefused),
    ("401", {"fault": 401}, StoreUnavailable),
    ("403", {"fault": 403}, StoreUnavailable),
    ("302", {"fault": 302}, StoreUnavailable),
    ("500", {"fault": 500}, StoreUnavailable),
    ("503", {"fault": 503}, StoreUnavailable),
    ("no JSON", {"body": b"<html>It works!"}, StoreUnavailable),
    ("no UTF-8", {"body": b'{"console": "\xff"}'}, StoreUnavailable),
    ("no console", {"body": b"{}"}, StoreUnavailable),
    ("a list", {"body": b"[]"}, StoreUnavailable),
    ("no host", {"body": b'{"console": {"instance_uuid": "a", "port": 1}}'}, StoreUnavailable),
    ("no port", {"body": b'{"console": {"instance_uuid": "a", "host": "h"}}'}, StoreUnavailable),
    ("port 0", {"body": b'{"console": {"instance_uuid": "a", "host": "h", "port": 0}}'}, StoreUnavailable),
    ("endless", {"body": b" " * 100_000}, StoreUnavailable),
    ("wrong password", {"auth_fault": 401}, StoreUnavailable),
]


@pytest.mark.parametrize(("change", "error"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
async def test_case_19_every_fault_is_401_or_503_and_asked_no_more(
    stub: NovaStub, change: dict[str, object], error: type[Exception]
) -> None:
    for name, value in change.items():
        setattr(stub, name, value)
    async with validator(stub) as tokens:
        with pytest.raises(error) as caught:
            await validate(tokens, UNKNOWN)
        assert UNKNOWN not in str(caught.value)
        assert caught.value.status in (401, 503)  # type: ignore[attr-defined]  # both have one
        assert sum(stub.lookups.values()) <= 2
        assert stub.logins <= 2


async def test_case_19_a_hang_ends_at_the_deadline(stub: NovaStub) -> None:
    stub.released.clear()
    async with validator(stub, seconds=0.2) as tokens:
        with pytest.raises(StoreUnavailable):
            await validate(tokens, UNKNOWN)


async def test_case_19_nobody_is_there(stub: NovaStub) -> None:
    async with validator(stub, auth=stub.auth(auth_url="http://127.0.0.1:1/v3")) as tokens:
        with pytest.raises(StoreUnavailable):
            await validate(tokens, UNKNOWN)
        assert stub.logins == 0


async def test_nothing_secret_is_logged_at_debug(stub: NovaStub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("keystone", "keystone.session", "keystoneauth", "urllib3", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, logger=name)
    async with validator(stub) as tokens:
        token = stub.add("esx-1", 902, MKS)
        await validate(tokens, token)
        stub.expire()
        await validate(tokens, token)
        stub.body = b"no"
        with pytest.raises(StoreUnavailable):
            await validate(tokens, token)
    text = "\n".join(f"{record.getMessage()} {record.args!r} {record.exc_text}" for record in caplog.records)
    assert "os-console-auth-tokens/***" in text, "urllib3 logs paths, and this one"
    for secret in (token, PASSWORD, "t-52", *stub.every_token):
        assert secret not in text


async def test_the_page_learns_why(stub: NovaStub) -> None:
    async with validator(stub) as tokens:
        context = AccessContext(resume_hash="ab" * 32)
        token = Secret(stub.add())
        assert await tokens.outcome(token, context) is None
        grant = await tokens.validate(token, context)
        assert (await tokens.validate(token, context)).id == grant.id, "the same browser, the same grant"
        await tokens.released(grant, "connect_failed", resumable=True)
        assert await tokens.outcome(token, context) == "connect_failed"
        with pytest.raises(TokenRefused):
            await tokens.outcome(Secret(UNKNOWN), context)
