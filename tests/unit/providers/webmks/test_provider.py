from __future__ import annotations

import authdtalk as a
import pytest

from consolekit.core.errors import (
    ConsoleLimitReached,
    ConsoleNotImplemented,
    HandshakeError,
    HypervisorProtocol,
    ServerPoweredOff,
    UnknownServer,
)
from consolekit.core.handshake import SERVER, Handshake
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Mode, Secret, Transport
from consolekit.providers.vsphere import CloneInfo, Machine, Ticket
from consolekit.providers.webmks.provider import WEBMKS, WebMksProvider
from consolekit.providers.webmks.settings import TicketKind
from consolekit.providers.webmks.ticket import AuthdEndpoint, TicketRules


class Inventory:
    """vSphere with one machine; counts what is asked."""

    def __init__(
        self, version: str = "8.0.3.0", *, power: str = "poweredOn", viewers: int = 39, told: bool = False
    ) -> None:
        self.api_version = version if told else ""
        self._version, self.power, self.viewers = version, power, viewers
        self.asked: list[str] = []
        self.closed = False

    def _answer(self, what: str, server_id: str) -> None:
        self.api_version = self._version
        self.asked.append(what)
        if server_id != "web-1":
            raise UnknownServer(server_id)

    async def version(self) -> str:
        self.api_version = self._version
        return self._version

    async def machine(self, server_id: str) -> Machine:
        self._answer("machine", server_id)
        return Machine(
            moid="vm-42",
            name="web 1",
            power=self.power,
            mks_connections=self.viewers,
            max_mks_connections=40,
        )

    async def ticket(self, server_id: str, kind: str) -> Ticket:
        self._answer(kind, server_id)
        return Ticket(
            kind=kind,
            ticket=Secret(f"ticket-{len(self.asked)}"),
            cfg_file=a.CFG,
            host="esx1.lab",
            cert_thumbprints=(("SHA-256", a.SHA256),),
            asked_host="vc.lab",
        )

    async def clone_ticket(self, server_id: str) -> CloneInfo:
        self._answer("clone", server_id)
        return CloneInfo(
            host="vc.lab",
            fqdn="vc.lab",
            server_guid="c0ffee",
            moid="vm-42",
            name="web 1",
            session_ticket=Secret("cst-1"),
            thumbprint_sha1="AB:CD",
            thumbprint_sha256="EF",
        )

    async def aclose(self) -> None:
        self.closed = True


def wish(server_id: str = "web-1") -> ConsoleRequest:
    return ConsoleRequest(key=WEBMKS, server_id=server_id, subject="alice")


def test_the_pair() -> None:
    assert WebMksProvider.keys == (ConsoleKey("mks", "webmks"),)


async def test_a_fresh_ticket_for_every_browser() -> None:
    inventory = Inventory(told=True)
    provider = WebMksProvider(inventory)
    first, second = await provider.open(wish()), await provider.open(wish())
    assert (first.transport, first.host, first.port) == (Transport.WSS, "esx1.lab", 443)
    assert (first.secret, second.secret) == (Secret("ticket-1"), Secret("ticket-2"))
    assert first.moves
    assert inventory.asked == ["webmks", "webmks"]
    assert provider.handshake(first) is None


async def test_a_fresh_process_asks_for_nothing_but_the_ticket() -> None:
    inventory = Inventory()
    await WebMksProvider(inventory).open(wish())
    assert inventory.asked == ["webmks"]


@pytest.mark.parametrize(
    ("ticket", "version", "kind"),
    [
        (TicketKind.AUTO, "6.0", "webmks"),
        (TicketKind.AUTO, "9.0.0.0", "webmks"),
        (TicketKind.WEBMKS, "5.5", "webmks"),
        (TicketKind.MKS, "8.0.3.0", "mks"),
        (TicketKind.MKS, "5.5", "mks"),
    ],
)
async def test_which_ticket(ticket: TicketKind, version: str, kind: str) -> None:
    inventory = Inventory(version)
    endpoint = await WebMksProvider(inventory, ticket=ticket).open(wish())
    assert inventory.asked[-1] == kind
    assert isinstance(endpoint, AuthdEndpoint) is (kind == "mks")


@pytest.mark.parametrize(("ticket", "version"), [(TicketKind.AUTO, "5.5"), (TicketKind.CLONE, "8.0.3.0")])
async def test_no_relay_of_vcenters_own_page(ticket: TicketKind, version: str) -> None:
    """Said when the link is made, and again if one was."""
    inventory = Inventory(version)
    provider = WebMksProvider(inventory, ticket=ticket)
    with pytest.raises(ConsoleNotImplemented, match="connection information"):
        await provider.check(wish())
    with pytest.raises(ConsoleNotImplemented, match="connection information"):
        await provider.open(wish())
    assert set(inventory.asked) == {"machine"}


async def test_check_takes_no_ticket_and_says_the_state() -> None:
    inventory = Inventory()
    await WebMksProvider(inventory).check(wish())
    assert inventory.asked == ["machine"]
    with pytest.raises(ServerPoweredOff):
        await WebMksProvider(Inventory(power="poweredOff")).check(wish())
    with pytest.raises(UnknownServer):
        await WebMksProvider(Inventory()).check(wish("web-2"))


async def test_a_full_machine_is_told_when_the_link_is_made_and_not_to_who_comes_back() -> None:
    """A viewer whose connection was lost may still be one of those that are counted."""
    provider = WebMksProvider(Inventory(viewers=40))
    with pytest.raises(ConsoleLimitReached, match="40 viewers"):
        await provider.check(wish())
    assert (await provider.open(wish())).secret == Secret("ticket-2")


async def test_off_is_told_before_full() -> None:
    with pytest.raises(ServerPoweredOff):
        await WebMksProvider(Inventory(viewers=40, power="poweredOff")).check(wish())


async def test_a_ticket_that_leads_nowhere() -> None:
    class Broken(Inventory):
        async def ticket(self, server_id: str, kind: str) -> Ticket:
            return Ticket(kind=kind, ticket=Secret("a\r\nb"), cfg_file="a b", asked_host="vc.lab")

    for kind in (TicketKind.WEBMKS, TicketKind.MKS):
        with pytest.raises(HypervisorProtocol):
            await WebMksProvider(Broken(), ticket=kind).open(wish())


async def test_handshake_of_port_902() -> None:
    rules = TicketRules(allow_sha1=True)
    provider = WebMksProvider(Inventory(), ticket=TicketKind.MKS, rules=rules)
    endpoint = await provider.open(wish())
    nonces = set()
    for _ in range(2):
        script = provider.handshake(endpoint)
        assert script is not None
        handshake = Handshake(script)
        handshake.receive(SERVER, a.BANNER)
        handshake.take_actions()
        handshake.tls_started()
        for reply in (b"331 a\r\n", b"230 b\r\n"):
            handshake.receive(SERVER, reply)
        nonces.add(handshake.take_actions()[-1])
    assert len(nonces) == 2


@pytest.mark.parametrize("mode", list(Mode))
def test_a_viewer_is_read_from_where_the_script_leaves_it(mode: Mode) -> None:
    provider = WebMksProvider(Inventory())
    assert mode in provider.modes
    beginning, key = b"RFB 003.008\n\1\1", b"\4\1" + bytes(6)
    websocket = provider.viewer_filter(Endpoint(transport=Transport.WSS), mode)
    assert websocket.feed(beginning + key).startswith(beginning)
    authd = provider.viewer_filter(AuthdEndpoint(cfg_file=a.CFG), mode)
    authd.feed(key)
    assert (websocket.inputs, authd.inputs) == (1, 1)


def test_handshake_without_a_ticket_sends_nothing() -> None:
    script = WebMksProvider(Inventory()).handshake(AuthdEndpoint(cfg_file=a.CFG))
    assert script is not None
    with pytest.raises(HandshakeError):
        Handshake(script)
    assert WebMksProvider(Inventory()).handshake(Endpoint()) is None


@pytest.mark.parametrize("ticket", TicketKind)
async def test_connect_info_whichever_way_we_go_ourselves(ticket: TicketKind) -> None:
    inventory = Inventory("5.5")
    info = await WebMksProvider(inventory, ticket=ticket, console_port=7331).connect_info(wish())
    assert (info["host"], info["port"], info["vmId"]) == ("vc.lab", 7331, "vm-42")
    assert info["sessionTicket"] == Secret("cst-1")
    assert inventory.asked == ["clone"]
    with pytest.raises(UnknownServer):
        await WebMksProvider(inventory).connect_info(wish("web-2"))


async def test_the_end_lets_go_of_the_vcenter() -> None:
    inventory = Inventory()
    await WebMksProvider(inventory, aclose=inventory.aclose).aclose()
    assert inventory.closed
    await WebMksProvider(inventory).aclose()


async def test_from_config() -> None:
    pytest.importorskip("pyVmomi")
    vcenter = {"host": "vc.lab", "username": "u", "password": "s3cret"}
    table = {"vcenter": vcenter, "ticket": "mks", "allowed_networks": ["10.0.0.0/8"]}
    assert not problems_of(validator_of(WebMksProvider.config_schema), table)
    provider = WebMksProvider.from_config(table, shared=Shared())
    assert "s3cret" not in repr(vars(provider))
    await provider.aclose()
