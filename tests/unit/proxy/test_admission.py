"""proxy.admission: who gets a session, decided without an HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from consolesite import PORTAL, Site, make_site

from consolekit.core.errors import (
    ConsoleKitError,
    ConsoleUnavailable,
    LimitReached,
    MalformedRequest,
    OriginRefused,
    TokenRefused,
)
from consolekit.core.hooks import hookimpl
from consolekit.core.types import Endpoint, Secret
from consolekit.proxy.admission import Admission, read_query
from consolekit.proxy.engine import Engine, ProxySettings
from consolekit.proxy.sessions import Limits
from consolekit.proxy.upgrade import Wish, hash_resume_key

OURS = "https://consoles.example.org"
KEY = "A" * 43


class Listening:
    """Notes refusals."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []

    @hookimpl
    def consolekit_access_refused(self, code: str, address: str) -> None:
        self.refused.append((code, address))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = make_site()
    yield found
    await found.kit.aclose()


def admission(site: Site, **settings: object) -> Admission:
    return Engine(site.kit, ProxySettings.of(site.kit, **settings)).admission


async def wish(site: Site, *, resume_key: str = KEY) -> Wish:
    link = await site.kit.create("web-1", {"protocol": "vnc", "type": "novnc"}, caller=PORTAL)
    return Wish(subprotocol="binary", token=link.token, resume_hash=hash_resume_key(resume_key))


@pytest.mark.parametrize(
    ("origins", "allow", "right"),
    [
        ([OURS], False, True),
        ([OURS.upper()], False, True),
        ([], True, True),
        ([], False, False),
        ([OURS, OURS], True, False),
        (["null"], True, False),
        ([OURS + ".evil.org"], True, False),
        (["http://consoles.example.org"], True, False),
    ],
)
async def test_origins(site: Site, origins: list[str], allow: bool, right: bool) -> None:
    judge = admission(site, allow_no_origin=allow)
    if right:
        judge.check_origin(origins)
        return
    with pytest.raises(OriginRefused):
        judge.check_origin(origins)


async def test_a_token_is_redeemed_once_and_the_page_is_told_why_there_is_no_console(site: Site) -> None:
    async def starting(_: object) -> Endpoint:
        raise ConsoleUnavailable("starting")

    site.rack.open = starting  # type: ignore[method-assign]  # between the link and the browser it was stopped
    judge, asked = admission(site), await wish(site)
    with pytest.raises(ConsoleUnavailable):
        await judge.open(asked, address="192.0.2.7")
    told = await judge.outcome(
        address="192.0.2.7", authorization=f"Bearer {asked.token.reveal()}", resume_key=KEY
    )
    assert told == {
        "code": "console_unavailable",
        "title": ConsoleUnavailable.title,
        "resumable": True,
        "retry": True,
    }
    with pytest.raises(TokenRefused):
        await judge.open(await wish_of("ckt_nobody"), address="192.0.2.7")


async def wish_of(token: str) -> Wish:
    return Wish(subprotocol="binary", token=Secret(token), resume_hash="")


@pytest.mark.parametrize(
    ("authorization", "resume_key"), [("", KEY), ("Basic x", KEY), ("Bearer x", ""), ("Bearer x", "short")]
)
async def test_who_does_not_hold_both_is_told_nothing(
    site: Site, authorization: str, resume_key: str
) -> None:
    with pytest.raises(TokenRefused):
        await admission(site).outcome(address="", authorization=authorization, resume_key=resume_key)


async def test_where_there_is_no_room_nothing_is_told_either(site: Site) -> None:
    judge = admission(site, limits=Limits(per_address=0))
    with pytest.raises(LimitReached):
        await judge.outcome(address="192.0.2.7", authorization="Bearer x", resume_key=KEY)


async def test_a_refusal_is_counted_and_told(site: Site) -> None:
    listening = Listening()
    site.kit.hooks.register(listening)
    judge = admission(site)
    error: ConsoleKitError = OriginRefused("x")
    judge.refused(error, address="192.0.2.7")
    assert listening.refused == [("origin_refused", "192.0.2.7")]


def test_a_query_has_few_fields() -> None:
    assert read_query("token=a&token=b&empty=") == {"token": ["a", "b"], "empty": [""]}
    with pytest.raises(MalformedRequest):
        read_query("&".join(f"f{number}=1" for number in range(17)))
