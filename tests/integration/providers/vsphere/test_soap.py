"""What the API answers, over real SOAP: the simulator's own answers, and faults from the front."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import vcfront
from vcenter import HOST, PASSWORD, USERNAME, Simulator, simulated
from vcfront import Front

from consolekit.core import errors
from consolekit.core.types import Secret, SystemClock, TlsPolicy
from consolekit.providers.vsphere import FindBy, VSphere, VSphereSettings

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

HTML = b"<!DOCTYPE html><html><body><h1>Welcome to vSphere</h1></body></html>"
XHTML = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body/></html>'
EMPTY = (
    b'<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
    b"<soapenv:Body></soapenv:Body></soapenv:Envelope>"
)
NO_OBJECTS = EMPTY.replace(
    b"<soapenv:Body>", b'<soapenv:Body><RetrievePropertiesExResponse xmlns="urn:vim25"/>'
)


class TestAnswers:
    async def test_a_machine(self, sessions: Any, sim: Simulator, spare: dict[str, str]) -> None:
        hosts = {host["moid"]: host["name"] for host in sim.hosts()}
        sim.change(vm=spare["moid"], viewers=3, maxViewers=40)
        told = await sessions().machine(spare["instance_uuid"])
        told.check_state()
        told.check_limit()
        assert (told.moid, told.name, told.power) == (spare["moid"], spare["name"], "poweredOn")
        assert (told.host_name, told.host_connection) == (hosts[spare["host"]], "connected")
        assert (told.mks_connections, told.max_mks_connections) == (3, 40)
        assert (told.instance_uuid, told.bios_uuid) == (spare["instance_uuid"], spare["bios_uuid"])

    async def test_a_console_is_one_ticket_call_and_two_small_ones(
        self, sessions: Any, front: Front, uuid: str
    ) -> None:
        vsphere = sessions()
        await vsphere.machine(uuid)
        assert front.calls == {
            "versions": 1,
            "RetrieveServiceContent": 1,
            "Login": 1,
            "FindAllByUuid": 1,
            "RetrievePropertiesEx": 1,
        }
        front.calls.clear()
        await vsphere.machine(uuid)
        await vsphere.ticket(uuid, "webmks")
        assert front.calls == {"RetrievePropertiesEx": 1, "AcquireTicket": 1}
        assert front.greetings == 1  # one connection for all of it

    async def test_a_ticket_of_a_new_host(self, sessions: Any, sim: Simulator, uuid: str) -> None:
        form = {
            "host": "esx-1.example.org",
            "port": 443,
            "url": "wss://esx-1.example.org:443/ticket/",
            "sha1": "AA:BB",
            "thumbprints": [["sha256", "CC:DD"], ["sha512", "EE:FF"]],
        }
        sim.forms(webmks=form)
        vsphere = sessions()
        told = await vsphere.ticket(uuid, "webmks")
        given = sim.given()[-1]
        assert told.ticket.reveal() == given["ticket"]
        assert told.url is not None
        assert told.url.reveal() == form["url"] + given["ticket"]
        assert (told.host, told.port, told.cfg_file) == (form["host"], 443, given["cfgFile"])
        assert told.ssl_thumbprint == "AA:BB"
        assert told.cert_thumbprints == (("sha256", "CC:DD"), ("sha512", "EE:FF"))
        assert (told.kind, told.asked_host, told.certificate_pem) == ("webmks", HOST, "")
        assert vsphere.api_version == "8.0.3.0"

    async def test_a_ticket_that_says_nothing_of_its_host(
        self, sessions: Any, sim: Simulator, uuid: str
    ) -> None:
        sim.forms(webmks={})
        told = await sessions().ticket(uuid, "webmks")
        assert (told.host, told.port, told.url) == ("", 0, None)
        assert (told.ssl_thumbprint, told.cert_thumbprints) == ("", ())

    async def test_every_ticket_is_another(self, sessions: Any, sim: Simulator, uuid: str) -> None:
        before, vsphere = sim.tickets(), sessions()
        taken = {(await vsphere.ticket(uuid, "mks")).ticket.reveal() for _ in range(5)}
        assert len(taken) == 5
        assert sim.tickets() == before + 5

    async def test_a_kind_that_is_refused(self, sessions: Any, sim: Simulator, uuid: str) -> None:
        sim.forms(mks={"refuse": True})
        with pytest.raises(errors.ConsoleNotSupported):
            await sessions().ticket(uuid, "mks")
        sim.forms(mks={"port": 902})
        with pytest.raises(errors.ConsoleNotSupported):
            await sessions().ticket(uuid, "no such kind")

    async def test_a_clone_ticket(self, sessions: Any, front: Front, uuid: str) -> None:
        info = await sessions().clone_ticket(uuid)
        assert (info.host, info.fqdn) == (HOST, HOST)  # the simulator has no name of its own
        assert info.session_ticket.reveal()
        assert info.server_guid
        assert len(info.thumbprint_sha1.split(":")) == 20
        assert len(info.thumbprint_sha256.split(":")) == 32

    async def test_vnc_settings_whatever_the_case_of_their_keys(
        self, sessions: Any, sim: Simulator, spare: dict[str, str]
    ) -> None:
        keys = {"enabled": "TRUE", "port": "5907", "password": "s3cret", "ip": "203.0.113.9"}
        extra = {f"remoteDisplay.VNC.{key}": value for key, value in keys.items()}
        sim.change(vm=spare["moid"], extraConfig=extra)
        vsphere = sessions()
        told = await vsphere.vnc_settings(spare["instance_uuid"])
        assert told.port == 5907
        assert told.password == Secret("s3cret")
        assert told.host == told.machine.host_name  # not .ip: who may edit the machine may set that
        other = next(host for host in sim.hosts() if host["moid"] != spare["host"])
        sim.change(vm=spare["moid"], runsOn=other["moid"])
        assert (await vsphere.vnc_settings(spare["instance_uuid"])).host == other["name"]

    @pytest.mark.parametrize(
        "extra",
        [
            {},
            {"RemoteDisplay.vnc.enabled": "FALSE", "RemoteDisplay.vnc.port": "5900"},
            {"RemoteDisplay.vnc.enabled": "TRUE"},
            {"RemoteDisplay.vnc.enabled": "TRUE", "RemoteDisplay.vnc.port": "0"},
            {"RemoteDisplay.vnc.enabled": "TRUE", "RemoteDisplay.vnc.port": "65536"},
            {"RemoteDisplay.vnc.enabled": "TRUE", "RemoteDisplay.vnc.port": "59 00"},
        ],
        ids=str,
    )
    async def test_no_vnc_server(
        self, sessions: Any, sim: Simulator, spare: dict[str, str], extra: dict[str, str]
    ) -> None:
        sim.change(vm=spare["moid"], extraConfig=extra)
        with pytest.raises(errors.ConsoleNotSupported):
            await sessions().vnc_settings(spare["instance_uuid"])

    async def test_other_ids(self, sessions: Any, sim: Simulator, spare: dict[str, str]) -> None:
        assert (await sessions(find_by=FindBy.MOID).machine(spare["moid"])).name == spare["name"]
        assert (await sessions(find_by=FindBy.BIOS_UUID).machine(spare["bios_uuid"])).name == spare["name"]
        with pytest.raises(errors.UnknownServer):
            await sessions().machine("00000000-0000-4000-8000-000000000000")

    async def test_two_machines_of_one_id(self, sessions: Any, sim: Simulator, spare: dict[str, str]) -> None:
        other = sim.machines()[-1]
        sim.change(vm=other["moid"], biosUuid=spare["bios_uuid"])
        with pytest.raises(errors.AmbiguousServer):
            await sessions(find_by=FindBy.BIOS_UUID).ticket(spare["bios_uuid"], "webmks")


class TestStates:
    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"power": "poweredOff"}, errors.ServerPoweredOff),
            ({"power": "suspended"}, errors.ServerSuspended),
        ],
    )
    async def test_power(
        self, sessions: Any, sim: Simulator, spare: dict[str, str], change: Any, error: type[Exception]
    ) -> None:
        vsphere = sessions()
        sim.change(vm=spare["moid"], **change)
        with pytest.raises(error):
            await vsphere.ticket(spare["instance_uuid"], "webmks")
        with pytest.raises(error):
            (await vsphere.machine(spare["instance_uuid"])).check_state()

    async def test_gone_between_two_questions(
        self, sessions: Any, sim: Simulator, spare: dict[str, str]
    ) -> None:
        vsphere = sessions()
        await vsphere.machine(spare["instance_uuid"])
        sim.change(vm=spare["moid"], gone=True)
        with pytest.raises(errors.ServerGone):
            await vsphere.ticket(spare["instance_uuid"], "webmks")

    async def test_the_host(self, sessions: Any, sim: Simulator, spare: dict[str, str]) -> None:
        vsphere = sessions()
        sim.change(host=spare["host"], maintenance=True)
        in_maintenance = await vsphere.machine(spare["instance_uuid"])
        sim.change(host=spare["host"], maintenance=False, connection="notResponding")
        away = await vsphere.machine(spare["instance_uuid"])
        sim.change(host=spare["host"], connection="connected")
        with pytest.raises(errors.HostInMaintenance):
            in_maintenance.check_state()
        with pytest.raises(errors.HostUnavailable):
            away.check_state()
        (await vsphere.machine(spare["instance_uuid"])).check_state()


FAULTS = [
    ("NoPermission", "<privilegeId>VirtualMachine.Interact.ConsoleInteract</privilegeId>",
     errors.HypervisorPermission),
    ("TaskInProgress", '<task type="Task">task-1</task>', errors.ServerBusy),
    ("InvalidPowerState",
     "<requestedState>poweredOn</requestedState><existingState>suspended</existingState>",
     errors.ServerSuspended),
    ("InvalidPowerState", "<existingState>poweredOff</existingState>", errors.ServerPoweredOff),
    ("InvalidState", "", errors.ConsoleConflict),
    ("NotSupported", "", errors.ConsoleNotSupported),
    ("MethodNotFound", '<receiver type="VirtualMachine">vm-1</receiver><method>AcquireTicket</method>',
     errors.ConsoleNotSupported),
    ("InvalidArgument", "<invalidProperty>ticketType</invalidProperty>", errors.ConsoleNotSupported),
    ("HostNotConnected", "", errors.HostUnavailable),
    ("HostNotReachable", "", errors.HostUnavailable),
    ("InvalidHostState", "", errors.HostInMaintenance),
    ("InvalidHostConnectionState", '<host type="HostSystem">host-1</host>', errors.HostUnavailable),
    ("MksConnectionLimitReached", "<connectionLimit>40</connectionLimit>", errors.ConsoleLimitReached),
    ("FileNotFound", "<file>[ds] web/web.vmx</file>", errors.ServerInaccessible),
    ("Timedout", "", errors.HypervisorTimeout),
    ("RequestCanceled", "", errors.HypervisorUnavailable),
    ("SystemError", "<reason>vix error</reason>", errors.HypervisorFault),
    ("RuntimeFault", "", errors.HypervisorFault),
]  # fmt: skip


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "fields", "error"), FAULTS, ids=[f"{name}-{error.code}" for name, _, error in FAULTS]
    )
    async def test_case_43_each_means_one_thing(
        self, sessions: Any, front: Front, uuid: str, name: str, fields: str, error: type[Exception]
    ) -> None:
        front.when("AcquireTicket", vcfront.fault(name, "It said so.", fields))
        vsphere = sessions()
        with pytest.raises(error) as caught:
            await vsphere.ticket(uuid, "webmks")
        assert type(caught.value) is error
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert front.calls["AcquireTicket"] == 1  # a fault is an answer: nothing is tried again
        assert front.calls["Login"] == 1
        front.as_usual()
        assert (await vsphere.ticket(uuid, "webmks")).ticket

    async def test_case_43_a_type_that_nobody_knows(self, sessions: Any, front: Front, uuid: str) -> None:
        front.when("AcquireTicket", vcfront.fault("FaultOfTomorrow"))
        with pytest.raises((errors.HypervisorFault, errors.HypervisorProtocol)):
            await sessions().ticket(uuid, "webmks")

    async def test_a_property_that_may_not_be_read(self, sessions: Any, front: Front, uuid: str) -> None:
        front.when("RetrievePropertiesEx", vcfront.answer(200, "text/xml", _unreadable("NoPermission")))
        with pytest.raises(errors.HypervisorPermission):
            await sessions().machine(uuid)

    async def test_a_property_without_a_session(self, sessions: Any, front: Front, uuid: str) -> None:
        unreadable = vcfront.answer(200, "text/xml", _unreadable("NotAuthenticated"))
        front.when("RetrievePropertiesEx", unreadable, times=1)
        assert (await sessions().machine(uuid)).power == "poweredOn"
        assert front.calls["Login"] == 2

    async def test_an_answer_without_the_machine(self, sessions: Any, front: Front, uuid: str) -> None:
        front.when("RetrievePropertiesEx", vcfront.answer(200, "text/xml", NO_OBJECTS))
        with pytest.raises(errors.UnknownServer):
            await sessions().machine(uuid)
        assert front.calls["Login"] == 1


class TestNotSoap:
    @pytest.mark.parametrize(
        ("status", "kind", "body", "error"),
        [
            (200, "text/html", HTML, errors.HypervisorProtocol),
            (200, "text/xml", HTML, errors.HypervisorProtocol),
            (200, "text/xml", XHTML, errors.HypervisorProtocol),
            (200, "text/xml", EMPTY[:-20], errors.HypervisorProtocol),
            (200, "text/xml", b"", errors.HypervisorProtocol),
            (200, "application/json", b"{}", errors.HypervisorProtocol),
            (500, "text/html", HTML, errors.HypervisorProtocol),
            (500, "text/xml", EMPTY, errors.HypervisorProtocol),
            (302, "text/html", HTML, errors.HypervisorProtocol),
            (401, "text/html", HTML, errors.HypervisorProtocol),
            (404, "text/html", HTML, errors.HypervisorProtocol),
            (503, "text/plain", b"no healthy upstream", errors.HypervisorUnavailable),
            (502, "text/html", HTML, errors.HypervisorUnavailable),
        ],
    )
    @pytest.mark.parametrize("method", ["AcquireTicket", "FindAllByUuid", "Login", "versions"])
    async def test_case_43_is_said_to_be_so(
        self,
        sessions: Any,
        front: Front,
        uuid: str,
        method: str,
        status: int,
        kind: str,
        body: bytes,
        error: type[Exception],
    ) -> None:
        front.when(method, vcfront.answer(status, kind, body))
        vsphere = sessions()
        with pytest.raises(error) as caught:
            await vsphere.ticket(uuid, "webmks")
        assert type(caught.value) is error
        front.as_usual()
        assert (await vsphere.ticket(uuid, "webmks")).ticket

    async def test_a_body_that_never_ends_is_cut(
        self, sessions: Any, front: Front, uuid: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("consolekit.providers.vsphere.wire._LARGEST_ANSWER", 100_000)
        front.when("AcquireTicket", vcfront.answer(200, "text/xml", b"<" * 200_000))
        with pytest.raises(errors.HypervisorProtocol, match="more than"):
            await sessions().ticket(uuid, "webmks")


async def test_no_secret_is_printed_or_logged(
    sessions: Any, front: Front, uuid: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"<reason>{PASSWORD}</reason>"
    front.when("Login", vcfront.fault("SystemError", f"bad login of {PASSWORD}", echo), times=1)
    vsphere = sessions()
    with pytest.raises(errors.HypervisorFault) as caught:
        await vsphere.ticket(uuid, "webmks")
    told = await vsphere.ticket(uuid, "webmks")
    shown = repr(vsphere) + repr(vars(vsphere)) + repr(told) + caplog.text + str(caught.value)
    for secret in (PASSWORD, told.ticket.reveal(), *front.cookies):
        assert secret not in shown


@pytest.mark.parametrize("api", ["6.5", "7.0.3.2", "9.0.0.0"])
async def test_other_versions(tmp_path: Path, api: str) -> None:
    """6.5 knows neither url nor thumbprints: what it does not know is not sent, so not read."""
    with simulated(tmp_path, api=api, vms=1) as old:
        form: dict[str, Any] = {"port": 443}
        if api != "6.5":
            form |= {"url": "wss://esx/ticket/", "thumbprints": [["sha256", "CC"]]}
        if api == "9.0.0.0":
            form["certificate"] = "-----BEGIN CERTIFICATE-----"
        old.forms(webmks=form)
        vsphere = _at(old)
        told = await vsphere.ticket(old.machines()[0]["instance_uuid"], "webmks")
        assert vsphere.api_version == api
        assert (told.url is None) == (api == "6.5")
        assert bool(told.certificate_pem) == (api == "9.0.0.0")
        await vsphere.aclose()


async def test_a_single_esxi_host(tmp_path: Path) -> None:
    with simulated(tmp_path, esx=True) as host:
        vsphere, uuid = _at(host), host.machines()[0]["instance_uuid"]
        (await vsphere.machine(uuid)).check_state()
        assert (await vsphere.ticket(uuid, "webmks")).asked_host == HOST
        with pytest.raises(errors.ConsoleNotSupported):
            await vsphere.clone_ticket(uuid)
        await vsphere.aclose()


def _at(simulator: Simulator) -> VSphere:
    settings = VSphereSettings(
        host=HOST,
        port=simulator.port,
        username=USERNAME,
        password=Secret(PASSWORD),
        tls=TlsPolicy(ca_file=simulator.ca_file),
    )
    return VSphere(settings, clock=SystemClock(), name="lab")


def _unreadable(fault: str) -> bytes:
    """A machine whose state is not told, for a reason."""
    return (
        '<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects>'
        '<obj type="VirtualMachine">vm-36</obj><missingSet><path>runtime.powerState</path><fault>'
        f'<fault xsi:type="{fault}"><object type="VirtualMachine">vm-36</object>'
        "<privilegeId>System.Read</privilegeId></fault><localizedMessage/></fault></missingSet>"
        "</objects></returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>"
    ).encode()
