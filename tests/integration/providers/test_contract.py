"""The providers that ask a vCenter keep the contract, before govmomi's simulator; logins are what is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import authdtalk as a
import pytest
import transcripts as t
from vcenter import HOST, PASSWORD, USERNAME, Simulator, simulated
from vcfront import Front, fronted

from consolekit import ConsoleProvider, Secret, Shared, Target
from consolekit.core.errors import ServerPoweredOff
from consolekit.core.handshake import Send
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.webmks.provider import WebMksProvider
from consolekit.testing import ProviderContract

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A vCenter; two machines run and listen for VNC, and one is off."""
    with simulated(tmp_path_factory.mktemp("vcenter"), tls=False, vms=4) as made:
        for number, machine in enumerate(made.machines()[:3]):
            settings = {"RemoteDisplay.vnc.enabled": "TRUE", "RemoteDisplay.vnc.port": str(5900 + number)}
            settings["RemoteDisplay.vnc.password"] = t.PASSWORD
            made.change(vm=machine["moid"], extraConfig=settings)
        made.change(vm=made.machines()[2]["moid"], power="poweredOff")
        prints = [["SHA-256", a.SHA256]]
        made.forms(
            webmks={"host": HOST, "port": 443, "thumbprints": prints},
            mks={"host": HOST, "port": 902, "thumbprints": prints, "cfgFile": a.CFG},
        )
        yield made


@pytest.fixture(scope="module")
def front(sim: Simulator) -> Iterator[Front]:
    """TLS before it, and a count of logins."""
    with fronted(sim.address, sim.authority.issue_cert(HOST)) as made:
        yield made


class VCenterContract(ProviderContract):
    """A vCenter is asked for each console."""

    made: ClassVar[type[ConsoleProvider]]
    more: ClassVar[dict[str, Any]] = {}
    secrets: ClassVar = (PASSWORD,)

    @pytest.fixture(autouse=True)
    def _vcenter(self, sim: Simulator, front: Front) -> None:
        self.sim, self.front = sim, front
        one, other, off, *_ = [machine["instance_uuid"] for machine in sim.machines()]
        self.server_id, self.other_server_id, self.refusals = one, other, {off: ServerPoweredOff}
        self.unknown_server_id = "50299b57-0000-4000-8000-00000000dead"
        table = self.table(front.port)
        self.wrong_config = (
            ({**table, "vcenter": {**table["vcenter"], "port": 0}}, "vcenter.port"),
            ({**table, "vcenter": {"host": HOST}}, "vcenter.username"),
            ({**table, "vcenter": {**table["vcenter"], "host": "a b"}}, "vcenter"),
        )

    def table(self, port: int) -> dict[str, Any]:
        account = {"username": USERNAME, "password": PASSWORD, "tls": {"ca_file": str(self.sim.ca_file)}}
        return {"vcenter": {"host": HOST, "port": port, **account}, **self.more}

    def config(self) -> dict[str, Any]:
        return self.table(self.front.port)

    async def make_provider(self) -> ConsoleProvider:
        return self.made.from_config(self.config(), shared=Shared())

    async def make_provider_at(self, host: str, port: int) -> ConsoleProvider:
        return self.made.from_config(self.table(port), shared=Shared())

    def held(self) -> int:
        return self.front.calls["Login"] - self.front.calls["Logout"]


class TestVncOfVSphere(VCenterContract):
    made: ClassVar = VncProvider
    more: ClassVar = {"source": "vsphere"}
    secrets: ClassVar = (PASSWORD, t.PASSWORD)
    viewer_says: ClassVar = t.VIEWER_SAYS

    def transcripts(self, endpoint):
        return [[*events, *t.viewer()] for policy, events in t.LOGINS.values() if policy == t.WITH_PASSWORD]


class TestWebMks(VCenterContract):
    """Tickets for the host's websocket: nothing to be played, and RFB from its beginning."""

    made: ClassVar = WebMksProvider
    more: ClassVar = {"adopt": True, "ticket": "webmks"}
    fresh_secrets: ClassVar = True
    targets: ClassVar = (Target(host="192.0.2.7", port=443, access=Secret("/ticket/" + a.TICKET)),)
    viewer_says: ClassVar = (t.Said(b"RFB 003.008\n"), t.Said(b"\x01"), *t.VIEWER_SAYS)


class TestMks(VCenterContract):
    """Tickets for port 902; the conversation there is the gateway's."""

    made: ClassVar = WebMksProvider
    more: ClassVar = {"ticket": "mks"}
    fresh_secrets: ClassVar = True
    viewer_says: ClassVar = t.VIEWER_SAYS[1:]

    @pytest.fixture(autouse=True)
    def _nonce(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("consolekit.providers.webmks.provider.secrets.token_bytes", lambda size: a.NONCE)

    def transcripts(self, endpoint):
        ticket = endpoint.secret.reveal().encode()
        talk = [*a.until_screen(), *a.greeting(), *a.viewer(), t.hears(b"\x01")]
        return [[with_ticket(event, ticket) for event in talk]]


def with_ticket(event: t.Event, ticket: bytes) -> t.Event:
    """The same with this ticket."""
    if isinstance(event, Send):
        return Send(event.peer, event.data.replace(a.TICKET.encode(), ticket))
    return event
