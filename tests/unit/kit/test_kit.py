from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from consolesite import PORTAL, SERIAL, VNC, Rack, Site, Wires, make_site, registry_of, session

from consolekit.auth.base import AccessContext, TokenIssuer
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import (
    ConnectFailed,
    ConnectTimeout,
    ConsoleConflict,
    ConsoleNotImplemented,
    ConsoleUnavailable,
    InvalidRequest,
    NotFound,
    PermitRefused,
    ProviderError,
    StoreUnavailable,
    TokenRefused,
    UnknownServer,
    UnsupportedConsole,
)
from consolekit.core.hooks import hookimpl
from consolekit.core.registry import ProviderRegistry
from consolekit.core.types import (
    Action,
    Caller,
    ConsoleKey,
    ConsoleRequest,
    Grant,
    Mode,
    Revocation,
    Scope,
    Secret,
)
from consolekit.kit import ConsoleKit, ConsoleLink
from consolekit.testing.clock import ManualClock

GOOD = {"protocol": "vnc", "type": "novnc"}
MKS = ConsoleKey("mks", "webmks")


@pytest.fixture
def site() -> Site:
    return make_site()


class Recorder:
    """A hook plug-in that remembers, and refuses one action for one server."""

    def __init__(self, *refused: tuple[Action, str]) -> None:
        self.refused = refused
        self.asked: list[tuple[str, Action, str, str]] = []
        self.validated: list[ConsoleRequest] = []

    @hookimpl
    def consolekit_permit(self, caller: Caller, action: Action, server_id: str, subject: str) -> str | None:
        self.asked.append((caller.name, action, server_id, subject))
        return "not this one" if (action, server_id) in self.refused else None

    @hookimpl
    def consolekit_request_validated(self, request: ConsoleRequest) -> None:
        self.validated.append(request)


async def create(site: Site, server_id: str = "web-1", **data: Any) -> ConsoleLink:
    return await site.kit.create(server_id, {**GOOD, **data}, caller=PORTAL)


class TestCreate:
    async def test_gives_a_link_whose_fragment_the_page_understands(self, site: Site) -> None:
        link = await create(site)
        url = urlsplit(link.url.reveal())
        assert f"{url.scheme}://{url.netloc}{url.path}" == "https://consoles.example.org/gw/console/"
        assert url.query == ""
        assert parse_qs(url.fragment) == {
            "token": [link.token.reveal()],
            "server": ["web-1"],
            "protocol": ["vnc"],
            "type": ["novnc"],
        }
        assert (link.key, link.server_id) == (VNC, "web-1")
        assert link.expires_at == site.clock.now() + 60

    async def test_a_link_for_looking_says_so(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Rack, "modes", tuple(Mode))
        link = await create(site, mode="view")
        assert link.mode is Mode.VIEW
        assert parse_qs(urlsplit(link.url.reveal()).fragment)["mode"] == ["view"]
        assert [grant.request.mode for grant in await site.store.grants()] == [Mode.VIEW]

    async def test_is_refused_where_a_provider_cannot_hold_a_viewer_to_looking(self, site: Site) -> None:
        with pytest.raises(ConsoleNotImplemented, match="provider rack has no consoles of mode view"):
            await create(site, mode="view")
        assert await site.store.grants() == []

    async def test_hooks_are_asked_about_the_mode(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Rack, "modes", tuple(Mode))
        asked: list[Mode | None] = []

        class Curious:
            @hookimpl
            def consolekit_permit(self, mode: Mode | None) -> None:
                asked.append(mode)

        site.kit.hooks.register(Curious())
        link = await create(site, mode="view")
        await create(site)
        await site.kit.revoke(link.grant_id, caller=PORTAL)
        assert asked == [Mode.VIEW, Mode.INTERACT, None]

    async def test_a_console_type_may_have_its_own_base(self) -> None:
        site = make_site(base_urls={"serial": "https://serial.example.org/gw/"})
        serial = await site.kit.create("web-1", {"protocol": "serial", "type": "serial"}, caller=PORTAL)
        assert serial.url.reveal().startswith("wss://serial.example.org/gw/?token=")
        assert (await create(site)).url.reveal().startswith("https://consoles.example.org/gw/console/#")

    async def test_what_it_gives_prints_no_secret(self, site: Site) -> None:
        link = await create(site)
        assert link.token.reveal() not in repr(link) + str(link)

    async def test_the_token_stands_for_the_grant(self, site: Site) -> None:
        link = await create(site, subject="alice", ttl_seconds=90)
        (validator,) = site.kit.validators
        grant = await validator.validate(link.token, AccessContext())
        assert grant.id == link.grant_id
        assert grant.provider == "rack"
        assert grant.request == ConsoleRequest(key=VNC, server_id="web-1", subject="alice")
        assert grant.expires_at == site.clock.now() + 90
        assert grant.session_seconds == 12 * 3600

    async def test_two_links_have_nothing_in_common(self, site: Site) -> None:
        one, two = await create(site), await create(site)
        assert one.grant_id != two.grant_id
        assert one.token != two.token
        assert len(await site.store.grants()) == 2

    async def test_the_link_dies_at_its_instant(self, site: Site) -> None:
        link = await create(site, ttl_seconds=1)
        site.clock.advance(1)
        with pytest.raises(TokenRefused):
            await site.kit.validators.redeem(link.token, AccessContext())

    @pytest.mark.parametrize(
        ("data", "given", "subject"),
        [({"subject": "alice"}, "bob", "alice"), ({}, "bob", "bob"), ({}, None, "portal")],
    )
    async def test_for_whom(self, site: Site, data: dict[str, Any], given: str | None, subject: str) -> None:
        await site.kit.create("web-1", {**GOOD, **data}, caller=PORTAL, subject=given)
        assert [grant.request.subject for grant in await site.store.grants()] == [subject]

    @pytest.mark.parametrize(
        ("server_id", "data", "error"),
        [
            ("web-1", {"ttl_seconds": 601}, InvalidRequest),
            ("../", {}, InvalidRequest),
            ("web-1", {"type": "webmks"}, UnsupportedConsole),
            ("web-1", {"type": "xvpvnc"}, ConsoleNotImplemented),
            ("web-9", {}, UnknownServer),
            ("off-1", {}, ConsoleConflict),
            ("late-1", {}, ConsoleUnavailable),
            ("slow-1", {}, ConnectTimeout),
        ],
    )
    async def test_what_cannot_be_had_leaves_nothing_behind(
        self, site: Site, server_id: str, data: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await create(site, server_id, **data)
        assert await site.store.grants() == []

    async def test_hooks_are_asked_before_any_provider(self, site: Site) -> None:
        recorder = Recorder((Action.CREATE, "web-1"))
        site.kit.hooks.register(recorder)
        with pytest.raises(PermitRefused, match="not this one"):
            await create(site, subject="alice")
        assert recorder.asked == [("portal", Action.CREATE, "web-1", "alice")]
        assert recorder.validated == []
        assert site.rack.checked == []

    async def test_hooks_are_told_what_passed(self, site: Site) -> None:
        recorder = Recorder()
        site.kit.hooks.register(recorder)
        await create(site)
        assert [request.server_id for request in recorder.validated] == ["web-1"]

    async def test_the_first_provider_that_knows_the_server_gives_it(self) -> None:
        other = Rack(web_2=None)  # type: ignore[arg-type]  # no fault
        site = make_site(other)
        await create(site, "web-2")
        await create(site, "web-1")
        assert [grant.provider for grant in await site.store.grants()] == ["more0", "rack"]

    async def test_a_provider_that_breaks_its_contract_is_told_as_one(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        site = make_site()
        site.rack.faults["web-1"] = KeyError("hypervisor-password")
        with pytest.raises(ProviderError, match="provider rack failed: KeyError") as caught:
            await create(site)
        assert "hypervisor-password" not in str(caught.value)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    async def test_a_provider_that_hangs_is_given_up(self) -> None:
        class Hangs(Rack):
            async def check(self, request: ConsoleRequest) -> None:
                raise TimeoutError

        clock = ManualClock()
        store = MemoryTokenStore(clock=clock)
        tokens = StoredTokens(store, clock=clock)
        kit = ConsoleKit(
            registry=registry_of(slow=Hangs()), store=store, issuer=tokens, validators=[tokens], clock=clock
        )
        with pytest.raises(ConsoleUnavailable, match="provider slow gave no answer within 10 s"):
            await kit.create("web-1", GOOD, caller=PORTAL)

    async def test_no_token_without_a_store(self, site: Site) -> None:
        class Down(TokenIssuer):
            async def issue(self, grant: Grant) -> Secret:
                raise StoreUnavailable("down")

        site.kit.issuer = Down()
        with pytest.raises(StoreUnavailable):
            await create(site)


class Elsewhere(Rack):
    """Machines whose only way is past us, and one that is beside a way of ours."""

    keys = (MKS,)

    def __init__(self) -> None:
        super().__init__(
            page_1=ConsoleNotImplemented("the hypervisor's own page"), sick_1=ValueError("a bug")
        )

    async def connect_info(self, request: ConsoleRequest) -> Mapping[str, object]:
        if request.server_id == "sick-1":
            raise ValueError("a bug")
        return {"host": "vc.lab", "sessionTicket": Secret("cst-1")}


class TestConnectInfo:
    @pytest.fixture
    def site(self) -> Site:
        return make_site(Elsewhere())

    @pytest.mark.parametrize("server_id", ["web-1", "page-1"])
    async def test_in_the_hypervisors_words(
        self, site: Site, server_id: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        info = await site.kit.connect_info(server_id, MKS, caller=PORTAL)
        assert info == {"host": "vc.lab", "sessionTicket": Secret("cst-1")}
        (record,) = (r for r in caplog.records if r.message == "connection information given")
        assert record.__dict__["caller"] == "portal"
        assert "cst-1" not in caplog.text

    async def test_most_pairs_have_none(self, site: Site) -> None:
        with pytest.raises(ConsoleNotImplemented, match="vnc/novnc is opened through its link only"):
            await site.kit.connect_info("web-1", VNC, caller=PORTAL)

    @pytest.mark.parametrize(
        ("server_id", "key", "error"),
        [
            ("off-1", MKS, ConsoleConflict),
            ("late-1", MKS, ConsoleUnavailable),
            ("web-9", MKS, UnknownServer),
            ("sick-1", MKS, ProviderError),
            ("../", MKS, InvalidRequest),
            ("web-1", ConsoleKey("mks", "novnc"), UnsupportedConsole),
            ("web-1", ConsoleKey("vnc", "xvpvnc"), ConsoleNotImplemented),
        ],
    )
    async def test_refusals(
        self, site: Site, server_id: str, key: ConsoleKey, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await site.kit.connect_info(server_id, key, caller=PORTAL)

    async def test_the_first_provider_that_knows_the_server_is_the_one_asked(self) -> None:
        """Another one's server of the same id is another server."""
        site = make_site(OwnPage(), Elsewhere())
        with pytest.raises(ConsoleNotImplemented):
            await site.kit.connect_info("web-1", MKS, caller=PORTAL)
        assert (await site.kit.connect_info("page-1", MKS, caller=PORTAL))["host"] == "vc.lab"

    async def test_hooks_are_asked_before_the_provider(self, site: Site) -> None:
        recorder = Recorder((Action.CONNECT_INFO, "web-1"))
        site.kit.hooks.register(recorder, "recorder")
        with pytest.raises(PermitRefused):
            await site.kit.connect_info("web-1", MKS, caller=PORTAL)
        assert recorder.asked == [("portal", Action.CONNECT_INFO, "web-1", "portal")]


class OwnPage(Rack):
    """Knows ``web-1`` and has no way past us."""

    keys = (MKS,)


class TestOffers:
    async def test_every_pair_of_the_server_sorted(self, site: Site) -> None:
        offers = await site.kit.offers("web-1", caller=PORTAL)
        assert [(offer.key, offer.provider, offer.available) for offer in offers] == [
            (SERIAL, "wires", True),
            (VNC, "rack", True),
        ]

    @pytest.mark.parametrize(
        ("server_id", "code"),
        [("off-1", "console_conflict"), ("late-1", "console_unavailable"), ("slow-1", "connect_timeout")],
    )
    async def test_what_cannot_be_had_now_is_listed_with_the_reason(
        self, site: Site, server_id: str, code: str
    ) -> None:
        (offer,) = await site.kit.offers(server_id, caller=PORTAL)
        assert (offer.available, offer.code) == (False, code)

    @pytest.mark.parametrize("fault", [KeyError("x"), ConnectFailed("x"), ProviderError("x")])
    async def test_one_failing_provider_keeps_nobody_from_the_others(self, fault: Exception) -> None:
        site = make_site()
        site.rack.faults["web-1"] = fault
        offers = await site.kit.offers("web-1", caller=PORTAL)
        assert [(offer.key, offer.available) for offer in offers] == [(SERIAL, True), (VNC, False)]

    async def test_a_server_that_nobody_knows(self, site: Site) -> None:
        with pytest.raises(UnknownServer):
            await site.kit.offers("web-9", caller=PORTAL)

    async def test_a_server_that_cannot_be(self, site: Site) -> None:
        site.kit.registry = ProviderRegistry()
        with pytest.raises(InvalidRequest):
            await site.kit.offers("../", caller=PORTAL)

    async def test_hooks_may_refuse(self, site: Site) -> None:
        site.kit.hooks.register(Recorder((Action.OFFERS, "web-1")))
        with pytest.raises(PermitRefused):
            await site.kit.offers("web-1", caller=PORTAL)


class TestSessions:
    async def test_are_listed_filtered_and_permitted(self, site: Site) -> None:
        await site.store.keep_sessions(
            "proxy", [session("s-1"), session("s-2", server_id="web-2"), session("s-3", server_id="secret")]
        )
        site.kit.hooks.register(Recorder((Action.LIST, "secret")))
        assert [info.id for info in await site.kit.sessions(caller=PORTAL)] == ["s-1", "s-2"]
        assert [info.id for info in await site.kit.sessions(caller=PORTAL, server_id="web-2")] == ["s-2"]
        assert await site.kit.sessions(caller=PORTAL, server_id="secret") == []

    async def test_are_killed(self, site: Site) -> None:
        await site.store.keep_sessions("proxy", [session()])
        cursor, _ = await site.store.revocations(-1)
        await site.kit.kill("s-1", caller=PORTAL)
        _, (order,) = await site.store.revocations(cursor)
        assert (order.scope, order.value, order.at) == (Scope.SESSION, "s-1", site.clock.now())

    async def test_what_is_not_there_or_not_the_caller_s_is_one_answer(self, site: Site) -> None:
        await site.store.keep_sessions("proxy", [session()])
        site.kit.hooks.register(Recorder((Action.KILL, "web-1")))
        with pytest.raises(NotFound) as forbidden:
            await site.kit.kill("s-1", caller=PORTAL)
        with pytest.raises(NotFound) as absent:
            await site.kit.kill("s-9", caller=PORTAL)
        assert forbidden.value.public_detail == absent.value.public_detail
        assert await site.store.revocations(-1) == (0, [])


class TestRevoke:
    async def test_takes_an_unused_link_back(self, site: Site) -> None:
        link, other = await create(site), await create(site)
        await site.kit.revoke(link.grant_id, caller=PORTAL)
        assert [grant.id for grant in await site.store.grants()] == [other.grant_id]
        with pytest.raises(TokenRefused):
            await site.kit.validators.redeem(link.token, AccessContext())
        with pytest.raises(NotFound):
            await site.kit.revoke(link.grant_id, caller=PORTAL)

    async def test_cuts_a_session_whose_grant_the_store_has_forgotten(self, site: Site) -> None:
        await site.store.keep_sessions("proxy", [session(grant_id="g-old")])
        await site.kit.revoke("g-old", caller=PORTAL)
        assert (await site.store.revocations(-1))[0] == 1

    async def test_what_is_not_there_or_not_the_caller_s_is_one_answer(self, site: Site) -> None:
        link = await create(site)
        site.kit.hooks.register(Recorder((Action.REVOKE, "web-1")))
        for name in (link.grant_id, "g-9", link.token.reveal()):
            with pytest.raises(NotFound) as caught:
                await site.kit.revoke(name, caller=PORTAL)
            assert caught.value.public_detail == ""
            assert link.token.reveal() not in str(caught.value)
        assert len(await site.store.grants()) == 1

    @pytest.mark.parametrize(("scope", "value"), [(Scope.SERVER, "web-1"), (Scope.SUBJECT, "alice")])
    async def test_everything_of_a_server_or_a_subject(self, site: Site, scope: Scope, value: str) -> None:
        await create(site, subject="alice")
        site.clock.advance(1)
        assert await site.kit.revoke_all(scope, value) == 1
        site.clock.advance(1)
        await create(site, subject="alice")
        assert len(await site.store.grants()) == 1, "what is issued later is not touched"

    async def test_a_grant_that_no_store_knows_yet(self, site: Site) -> None:
        assert await site.kit.revoke_all(Scope.GRANT, "sealed") == 0
        assert [order.value for order in (await site.store.revocations(-1))[1]] == ["sealed"]

    async def test_a_session_is_killed_by_its_own_name(self, site: Site) -> None:
        with pytest.raises(InvalidRequest, match="must be grant, server or subject"):
            await site.kit.revoke_all(Scope.SESSION, "x")

    async def test_listeners_hear_what_was_ordered(self, site: Site) -> None:
        heard: list[tuple[Revocation, int]] = []

        class Listener:
            @hookimpl
            def consolekit_revoked(self, revocation: Revocation, removed: int) -> None:
                heard.append((revocation, removed))

        site.kit.hooks.register(Listener())
        await create(site)
        await site.kit.revoke_all(Scope.SERVER, "web-1")
        assert heard == [(Revocation(scope=Scope.SERVER, value="web-1", at=site.clock.now()), 1)]


class TestInspect:
    async def test_a_token_is_told_and_stays_good(self, site: Site) -> None:
        link = await create(site)
        life = await site.kit.inspect(link.token)
        assert (life.grant.id, life.used_at) == (link.grant_id, None)
        await site.kit.validators.redeem(link.token, AccessContext())
        assert (await site.kit.inspect(link.token)).used_at == site.clock.now()

    async def test_nobodys_token_is_refused(self, site: Site) -> None:
        with pytest.raises(TokenRefused):
            await site.kit.inspect(Secret("x"))


class TestClose:
    async def test_ends_every_provider_even_if_one_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        class Stuck(Wires):
            async def aclose(self) -> None:
                raise OSError("stuck")

        last = Rack()
        site = make_site(Stuck(), last)
        await site.kit.aclose()
        assert site.rack.closed
        assert last.closed
        assert [record.__dict__["provider"] for record in caplog.records] == ["more0"]


class TestIsolation:
    async def test_two_kits_do_not_see_each_other(self) -> None:
        one, two = make_site(), make_site()
        one.kit.hooks.register(Recorder((Action.CREATE, "web-1")))
        await create(two)
        assert len(await two.store.grants()) == 1
        with pytest.raises(PermitRefused):
            await create(one)
