"""VMware's own consoles: a real vCenter API, a host that takes each ticket once, our gateway between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import websockets.exceptions
from esxihost import HostCertificate, host_certificate
from gateway import CALLER, resume_key
from vcenter import Simulator, simulated
from vmwaresite import CFG, SIZE, Lab, authd_lab, esxi_lab, log_in

from consolekit.core import errors
from consolekit.core.types import Revocation, Scope, Secret, SystemClock
from consolekit.providers.webmks.provider import WEBMKS
from consolekit.providers.webmks.settings import TicketKind
from consolekit.providers.webmks.ticket import TicketRules
from consolekit.proxy.closecodes import close_code
from consolekit.proxy.relay import RelaySettings

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

MKS = {"ticket": TicketKind.MKS, "rules": TicketRules(allow_sha1=True)}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulated(tmp_path_factory.mktemp("vcenter"), vms=2) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> HostCertificate:
    return host_certificate(tmp_path_factory.mktemp("good"), authority=authority)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> HostCertificate:
    return host_certificate(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> HostCertificate:
    return host_certificate(tmp_path_factory.mktemp("expired"), expired=True, authority=authority)


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> HostCertificate:
    return host_certificate(tmp_path_factory.mktemp("misnamed"), "esx9.lab", authority=authority)


async def refusal(attempt: Awaitable[Any]) -> tuple[int, str]:
    """Status and code of a websocket that is refused."""
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        await attempt
    response = caught.value.response
    assert response.headers["Content-Type"] == "application/problem+json"
    body = bytes(response.body or b"").decode()
    code = next(line for line in body.replace("{", ",").split(",") if '"code"' in line).split('"')[3]
    return response.status_code, code


class TestWebsocketOfTheHost:
    async def test_the_screen(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good) as lab:
            browser = await lab.open()
            assert browser.subprotocol == "binary"
            assert await log_in(browser) == SIZE
            assert (lab.given, lab.host.open) == (1, 1)
            await browser.close()
            await lab.quiet()
            assert lab.host.tickets.taken == [sim.given()[-1]["ticket"]]
            assert lab.host.tickets.refused == []

    async def test_making_a_link_takes_no_ticket(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good) as lab:
            await lab.token()
            assert lab.given == 0

    async def test_a_reload_takes_a_fresh_ticket(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good) as lab:
            token, key = await lab.token(), resume_key()
            for number in (1, 2):
                async with lab.gateway.open(token, resume=key) as browser:
                    assert await log_in(browser) == SIZE
                await lab.quiet()
                assert lab.given == len(lab.host.tickets.taken) == number

    async def test_a_host_that_is_lost(self, sim: Simulator, good: HostCertificate) -> None:
        """The browser hears that it may come back, and comes back with another ticket."""
        async with esxi_lab(sim, good) as lab:
            token, key = await lab.token(), resume_key()
            async with lab.gateway.open(token, resume=key) as browser:
                await log_in(browser)
                lab.host.drop_viewers()
                await browser.wait_closed()
                assert browser.close_code == close_code("server_reset")
            await lab.quiet()
            async with lab.gateway.open(token, resume=key) as browser:
                assert await log_in(browser) == SIZE
            assert lab.given == 2

    async def test_case_44_a_machine_that_leaves_its_host(
        self, sim: Simulator, good: HostCertificate
    ) -> None:
        """vMotion: the host closes in order, and the browser comes back to wherever the machine is now."""
        async with esxi_lab(sim, good) as lab:
            token, key = await lab.token(), resume_key()
            async with lab.gateway.open(token, resume=key) as browser:
                await log_in(browser)
                lab.host.send_away()
                await browser.wait_closed()
                assert browser.close_code == close_code("server_moved") == 4008
            await lab.quiet()
            async with lab.gateway.open(token, resume=key) as browser:
                assert await log_in(browser) == SIZE
            assert lab.given == 2

    @pytest.mark.parametrize("told", ["host and port", "port alone"])
    async def test_without_a_url(self, sim: Simulator, good: HostCertificate, told: str) -> None:
        form: dict[str, Any] = {"url": "", "thumbprints": [["SHA256", good.sha256.lower()]]}
        async with esxi_lab(sim, good, form) as lab:
            form |= {"host": "localhost" if told == "host and port" else "", "port": lab.host.port}
            sim.forms(webmks=form)
            browser = await lab.open()
            assert await log_in(browser) == SIZE
            await browser.close()

    async def test_a_name_that_only_the_hosts_know(self, sim: Simulator, misnamed: HostCertificate) -> None:
        """The connection goes where the map says; the certificate is still for the name."""
        rules = TicketRules(ca_file=misnamed.ca_file, host_map={"esx9.lab": "127.0.0.1"})
        async with esxi_lab(sim, misnamed, {}, rules=rules) as lab:
            sim.forms(webmks={"url": f"wss://esx9.lab:{lab.host.port}/ticket/"})
            browser = await lab.open()
            assert await log_in(browser) == SIZE
            await browser.close()

    async def test_a_network_that_is_not_allowed(self, sim: Simulator, good: HostCertificate) -> None:
        rules = TicketRules(allowed_networks=("10.0.0.0/8",))
        async with esxi_lab(sim, good, rules=rules) as lab:
            assert await refusal(lab.open()) == (502, "endpoint_refused")
            assert lab.host.requests == []


class TestCertificatesOfTheHost:
    """Refused, and the host was shown no ticket."""

    async def refused(
        self, sim: Simulator, shown: HostCertificate, form: dict[str, Any], rules: TicketRules, code: str
    ) -> None:
        async with esxi_lab(sim, shown, form, rules=rules) as lab:
            assert await refusal(lab.open()) == (502, code)
            assert lab.given == 1
            assert lab.host.requests == []
            assert lab.host.tickets.taken == []

    async def test_a_wrong_pin(self, sim: Simulator, good: HostCertificate, other: HostCertificate) -> None:
        form = {"thumbprints": [["SHA-256", other.sha256]]}
        rules = TicketRules(ca_file=good.ca_file)
        await self.refused(sim, good, form, rules, "certificate_refused")

    async def test_another_certificate_than_the_one_in_the_ticket(
        self, sim: Simulator, good: HostCertificate, other: HostCertificate
    ) -> None:
        form = {"certificate": other.pem}
        await self.refused(sim, good, form, TicketRules(ca_file=good.ca_file), "certificate_refused")

    async def test_the_certificate_in_the_ticket(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good, {"certificate": good.pem}) as lab:
            browser = await lab.open()
            assert await log_in(browser) == SIZE
            await browser.close()

    async def test_expired(self, sim: Simulator, expired: HostCertificate) -> None:
        rules = TicketRules(ca_file=expired.ca_file)
        await self.refused(sim, expired, {}, rules, "certificate_refused")

    async def test_a_wrong_name(self, sim: Simulator, misnamed: HostCertificate) -> None:
        rules = TicketRules(ca_file=misnamed.ca_file)
        await self.refused(sim, misnamed, {}, rules, "hostname_mismatch")

    async def test_another_ca(self, sim: Simulator, good: HostCertificate, other: HostCertificate) -> None:
        rules = TicketRules(ca_file=other.ca_file)
        await self.refused(sim, good, {}, rules, "certificate_refused")

    async def test_sha1_alone(self, sim: Simulator, good: HostCertificate, other: HostCertificate) -> None:
        form = {"sha1": good.sha1}
        await self.refused(sim, good, form, TicketRules(), "certificate_refused")
        async with esxi_lab(sim, good, form, rules=TicketRules(allow_sha1=True)) as lab:
            browser = await lab.open()
            assert await log_in(browser) == SIZE
            await browser.close()
        wrong = {"sha1": other.sha1}
        await self.refused(sim, good, wrong, TicketRules(allow_sha1=True), "certificate_refused")

    async def test_a_ca_and_the_name(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good, {}, rules=TicketRules(ca_file=good.ca_file)) as lab:
            browser = await lab.open()
            assert await log_in(browser) == SIZE
            await browser.close()


class TestTickets:
    async def test_case_42_an_expired_one_is_refused_and_the_next_is_fresh(
        self, sim: Simulator, good: HostCertificate
    ) -> None:
        """Case 42: told as what it is, and one fresh ticket at most was tried."""
        async with esxi_lab(sim, good) as lab:
            take = lab.host.tickets.take
            lab.host.tickets.take = lambda ticket: False
            token, key = await lab.token(), resume_key()
            assert await refusal(lab.gateway.open(token, resume=key)) == (502, "ticket_refused")
            spent = lab.given
            assert spent in (1, 2)
            lab.host.tickets.take = take
            async with lab.gateway.open(token, resume=key) as browser:
                assert await log_in(browser) == SIZE
            assert lab.given == spent + 1

    async def test_case_42_a_host_that_cannot_be_reached(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good) as lab:
            await lab.host.aclose()
            assert await refusal(lab.open()) == (502, "connect_failed")

    @pytest.mark.parametrize(
        ("form", "code"),
        [
            ({"url": "ws://localhost/ticket/"}, "hypervisor_protocol"),
            ({"url": "wss://root@localhost/ticket/"}, "hypervisor_protocol"),
            ({"url": "wss://localhost:99999/ticket/"}, "hypervisor_protocol"),
            ({"url": "wss://local host/ticket/"}, "hypervisor_protocol"),
            ({"url": "", "host": "esx1&#13;"}, "hypervisor_protocol"),
            ({"url": "wss://localhost/ticket/", "thumbprints": [["SHA-256", "ab"]]}, "hypervisor_protocol"),
        ],
    )
    async def test_ones_that_cannot_be_meant(
        self, sim: Simulator, good: HostCertificate, form: dict[str, Any], code: str
    ) -> None:
        async with esxi_lab(sim, good) as lab:
            sim.forms(webmks=form)
            assert await refusal(lab.open()) == (502, code)
            assert lab.host.requests == []


class TestStates:
    """What happens to a machine between the link and the browser."""

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"power": "poweredOff"}, 409, "server_powered_off"),
            ({"power": "suspended"}, 409, "server_suspended"),
        ],
    )
    async def test_case_44_without_power(
        self, sim: Simulator, good: HostCertificate, change: dict[str, str], status: int, code: str
    ) -> None:
        async with esxi_lab(sim, good) as lab:
            token = await lab.token()
            sim.change(vm=lab.machine["moid"], **change)
            try:
                assert await refusal(lab.gateway.open(token)) == (status, code)
                with pytest.raises(errors.ConsoleConflict):
                    await lab.token()
            finally:
                sim.change(vm=lab.machine["moid"], power="poweredOn")

    async def test_case_44_gone(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good) as lab:
            lab.machine = sim.machines()[-1]
            token = await lab.token()
            sim.change(vm=lab.machine["moid"], gone=True)
            assert await refusal(lab.gateway.open(token)) == (404, "server_gone")
            with pytest.raises(errors.UnknownServer):
                await lab.token()


Ending = Callable[[Lab, Any], Awaitable[None]]


async def _closes(lab: Lab, browser: Any) -> None:
    await browser.close()


async def _vanishes(lab: Lab, browser: Any) -> None:
    browser.transport.abort()


async def _link_is_taken_back(lab: Lab, browser: Any) -> None:
    (session,) = lab.gateway.proxy.sessions
    revocation = Revocation(scope=Scope.GRANT, value=session.info().grant_id, at=SystemClock().now())
    await lab.gateway.kit.store.revoke(revocation)


async def _server_is_revoked(lab: Lab, browser: Any) -> None:
    await lab.gateway.kit.revoke_all(Scope.SERVER, lab.server_id)


async def _host_drops(lab: Lab, browser: Any) -> None:
    lab.host.drop_viewers()


async def _screen_ends(lab: Lab, browser: Any) -> None:
    for writer in list(lab.screen._viewers.values()):
        writer.close()


async def _breaks_the_protocol(lab: Lab, browser: Any) -> None:
    browser.transport.write(b"\xff" * 14)


async def _ends_with_the_process(lab: Lab, browser: Any) -> None:
    for session in lab.gateway.proxy.sessions:
        session.end("draining")


async def _outlives_its_time(lab: Lab, browser: Any) -> None:
    for session in lab.gateway.proxy.sessions:
        session.end("session_over")


ENDINGS: list[Ending] = [
    _closes,
    _vanishes,
    _link_is_taken_back,
    _server_is_revoked,
    _host_drops,
    _screen_ends,
    _breaks_the_protocol,
    _ends_with_the_process,
    _outlives_its_time,
]


class TestSlots:
    async def test_forty_one_through_every_ending(self, sim: Simulator, good: HostCertificate) -> None:
        """A machine has 40 slots: whichever way sessions end, the next one finds all of them free."""
        async with esxi_lab(sim, good, limit=1) as lab:
            for number in range(41):
                async with asyncio.timeout(20):
                    browser = await lab.open()
                    assert await log_in(browser) == SIZE
                    await ENDINGS[number % len(ENDINGS)](lab, browser)
                    await lab.quiet()
                    browser.transport.abort()
                    await browser.wait_closed()
            assert (lab.given, len(lab.host.tickets.taken), lab.host.most_open) == (41, 41, 1)

    @pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__.strip("_"))
    async def test_forty_one_of_each(self, sim: Simulator, good: HostCertificate, ending: Ending) -> None:
        async with esxi_lab(sim, good, limit=40) as lab:
            for _ in range(41):
                async with asyncio.timeout(20):
                    browser = await lab.open()
                    await browser.recv()
                    await ending(lab, browser)
                    await lab.gateway.until_no_sessions()
                    browser.transport.abort()
                    await browser.wait_closed()
            await lab.quiet()
            assert len(lab.host.tickets.taken) == 41

    async def test_case_42_one_too_many_is_refused_and_hurts_nobody(
        self, sim: Simulator, good: HostCertificate
    ) -> None:
        async with esxi_lab(sim, good, limit=1) as lab:
            first = await lab.open()
            await log_in(first)
            assert await refusal(lab.open()) == (502, "upstream_refused")
            assert lab.host.open == 1
            await first.close()
            await lab.quiet()

    async def test_an_idle_viewer(self, sim: Simulator, good: HostCertificate) -> None:
        """The gateway's pings are for the browser; the host hears its closing."""
        relay = RelaySettings(ping_seconds=0.2, pong_seconds=0.2)
        async with esxi_lab(sim, good, gateway={"relay": relay}) as lab:
            browser = await lab.open(ping_interval=None)
            await log_in(browser)
            browser.transport.pause_reading()
            await lab.quiet()
            browser.transport.abort()


class TestPort902:
    @pytest.mark.parametrize("whole_rfb", [False, True], ids=["from ServerInit", "whole RFB"])
    @pytest.mark.parametrize("says_sha256", [False, True], ids=["SHA-1", "SHA-256"])
    async def test_the_screen(
        self,
        sim: Simulator,
        good: HostCertificate,
        other: HostCertificate,
        whole_rfb: bool,
        says_sha256: bool,
    ) -> None:
        front = {"whole_rfb": whole_rfb, "says_sha256": says_sha256}
        async with authd_lab(sim, good, other, front=front, **MKS) as lab:
            token, key = await lab.token(), resume_key()
            for number in (1, 2):
                async with lab.gateway.open(token, resume=key) as browser:
                    assert await log_in(browser) == SIZE
                await lab.quiet()
                assert lab.given == len(lab.host.tickets.taken) == number
            commands = [line.split()[0] for line in lab.host.lines]
            assert commands == ["USER", "PASS", "THUMBPRINT", "CONNECT"] * 2
            nonces = {line for line in lab.host.lines if line.startswith("THUMBPRINT")}
            assert len(nonces) == 2

    @pytest.mark.parametrize("case", ["pin", "expired", "name", "ca", "sha1"])
    async def test_the_first_certificate(
        self,
        sim: Simulator,
        good: HostCertificate,
        other: HostCertificate,
        expired: HostCertificate,
        misnamed: HostCertificate,
        case: str,
    ) -> None:
        """Refused, and not one command was sent."""
        ca = TicketRules(ca_file=good.ca_file)
        shown, form, rules, code = {
            "pin": (good, {"thumbprints": [["SHA-256", other.sha256]]}, ca, "certificate_refused"),
            "expired": (expired, {}, ca, "certificate_refused"),
            "name": (misnamed, {}, ca, "hostname_mismatch"),
            "ca": (other, {}, ca, "certificate_refused"),
            "sha1": (other, {"sha1": other.sha1}, ca, "certificate_refused"),
        }[case]
        async with authd_lab(sim, shown, good, form, ticket=TicketKind.MKS, rules=rules) as lab:
            assert await refusal(lab.open()) == (502, code)
            assert lab.host.lines == []
            assert lab.host.tickets.taken == []

    async def test_the_second_certificate_is_the_one_that_the_first_tls_named(
        self, sim: Simulator, good: HostCertificate, other: HostCertificate
    ) -> None:
        async with authd_lab(sim, good, other, **MKS) as lab:
            lab.host.told = good.sha256
            assert await refusal(lab.open()) == (502, "certificate_refused")
            assert lab.host.open == 0

    async def test_sha1_for_the_second_certificate_only_by_leave(
        self, sim: Simulator, good: HostCertificate, other: HostCertificate
    ) -> None:
        async with authd_lab(sim, good, other, ticket=TicketKind.MKS) as lab:
            assert await refusal(lab.open()) == (502, "no_common_security")
            assert lab.host.open == 0

    async def test_sha1_for_both_by_leave(
        self, sim: Simulator, good: HostCertificate, other: HostCertificate
    ) -> None:
        """As real hosts of old versions do it."""
        async with authd_lab(sim, good, other, {"sha1": good.sha1}, **MKS) as lab:
            browser = await lab.open()
            assert await log_in(browser) == SIZE
            await browser.close()
            await lab.quiet()

    async def test_a_used_ticket(self, sim: Simulator, good: HostCertificate, other: HostCertificate) -> None:
        async with authd_lab(sim, good, other, **MKS) as lab:
            lab.host.tickets.take = lambda ticket: False
            assert await refusal(lab.open()) == (502, "ticket_refused")
            assert lab.given in (1, 2)

    async def test_a_path_with_a_space_is_refused_before_anything_is_sent(
        self, sim: Simulator, good: HostCertificate, other: HostCertificate
    ) -> None:
        async with authd_lab(sim, good, other, {"cfgFile": f"{CFG} x"}, **MKS) as lab:
            assert await refusal(lab.open()) == (502, "hypervisor_protocol")
            assert lab.host.lines == []

    async def test_without_tls_nothing_is_said(
        self, sim: Simulator, good: HostCertificate, other: HostCertificate
    ) -> None:
        front = {"banner": b"220 VMware Authentication Daemon Version 1.00\r\n"}
        async with authd_lab(sim, good, other, front=front, **MKS) as lab:
            assert await refusal(lab.open()) == (502, "no_common_security")
            assert lab.host.lines == []

    @pytest.mark.parametrize("ending", ENDINGS[:4], ids=lambda ending: ending.__name__.strip("_"))
    async def test_no_viewer_is_left(
        self, sim: Simulator, good: HostCertificate, other: HostCertificate, ending: Ending
    ) -> None:
        async with authd_lab(sim, good, other, **MKS) as lab:
            for _ in range(5):
                browser = await lab.open()
                await log_in(browser)
                await ending(lab, browser)
                await lab.quiet()
                browser.transport.abort()
                await browser.wait_closed()


class TestConnectInfo:
    async def test_the_seven_fields_whichever_way_we_go(self, sim: Simulator, good: HostCertificate) -> None:
        async with esxi_lab(sim, good) as lab:
            info = await lab.gateway.kit.connect_info(lab.server_id, WEBMKS, caller=CALLER)
            assert (info["host"], info["port"]) == ("localhost", 7343)
            assert (info["vmId"], info["vmName"]) == (lab.machine["moid"], lab.machine["name"])
            assert info["vcFQDN"]
            assert isinstance(info["sessionTicket"], Secret)
            assert info["thumbprint"].count(":") == 19
            assert lab.given == 0

    async def test_clone_has_no_relay(self, sim: Simulator, good: HostCertificate, tmp_path: Path) -> None:
        async with esxi_lab(sim, good, ticket=TicketKind.CLONE) as lab:
            with pytest.raises(errors.ConsoleNotImplemented, match="connection information"):
                await lab.token()
            assert await lab.gateway.kit.connect_info(lab.server_id, WEBMKS, caller=CALLER)
