"""Providers, vSphere: the one door to pyvmomi. Our questions in, our own data and errors out; blocking.

Of pyvmomi only the types, the serializer and the deserializer are used. Its transport is not: connections,
certificates, deadlines and the session's cookie are ours (``wire.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapResponseDeserializer, SoapStubAdapterBase
from pyVmomi.VmomiSupport import GetServiceVersions, versionIdMap

from consolekit.core.errors import (
    ConsoleNotSupported,
    HypervisorPermission,
    HypervisorProtocol,
    HypervisorUnavailable,
)
from consolekit.core.types import Secret
from consolekit.providers.vsphere.api import MachineMissing, SessionLost
from consolekit.providers.vsphere.calls import Call
from consolekit.providers.vsphere.faults import error_for
from consolekit.providers.vsphere.results import Machine, Ticket, VncSettings
from consolekit.providers.vsphere.settings import FindBy, VSphereSettings
from consolekit.providers.vsphere.wire import Answer, Wire

_PATH: Final = "/sdk"
_COOKIE: Final = "vmware_soap_session"
_RESTARTING: Final = (429, 502, 503, 504)
_NAMESPACE: Final = re.compile(r"<namespace>.*?<name>\s*urn:vim25\s*</name>(.*?)</namespace>", re.DOTALL)
_VERSION: Final = re.compile(r"<version>\s*([0-9.]+)\s*</version>")
_OLDEST: Final = "vim.version.version7"  # 5.0

_MACHINE: Final = (
    "name",
    "config.instanceUuid",
    "config.uuid",
    "config.maxMksConnections",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.numMksConnections",
)
_HOST: Final = ("name", "runtime.connectionState", "runtime.inMaintenanceMode")


class _Stub(SoapStubAdapterBase):  # type: ignore[misc]  # pyvmomi has no types
    """What pyvmomi's objects call: serializes, asks over our wire, deserializes. One per call of ours."""

    def __init__(self, wire: Wire, call: Call, session: _Cookie, version: str) -> None:
        super().__init__(version)
        self.requestContext: dict[str, str] = {}
        self._wire, self._call, self._cookie = wire, call, session

    def InvokeMethod(self, mo: Any, info: Any, args: Any, outerStub: Any = None) -> Any:
        """Ask. pyvmomi's own name and signature.

        Raises:
            MethodFault: the API's answer is a fault.
            HypervisorProtocol: its answer is no SOAP.
            HypervisorUnavailable: it restarts.
        """
        answer = self._wire.request(
            self._call,
            "POST",
            _PATH,
            body=self.SerializeRequest(mo, info, args),
            headers={
                "Content-Type": "text/xml; charset=UTF-8",
                "SOAPAction": self.versionId,
                **self._cookie.headers(),
            },
        )
        _check_soap(answer)
        self._cookie.learn(answer.cookie)
        try:
            result = SoapResponseDeserializer(self).Deserialize(io.BytesIO(answer.body), info.result)
        except Exception as exc:  # expat's, and whatever an unexpected element raises within pyvmomi
            raise HypervisorProtocol(f"its SOAP cannot be read: {type(exc).__name__}") from None
        if isinstance(result, Exception):
            raise result
        if answer.status != 200:
            raise HypervisorProtocol("an error without a fault")
        return result


class _Cookie:
    """The session's cookie, shared by the stubs of one login. Never printed."""

    def __init__(self) -> None:
        self._value = ""

    def headers(self) -> dict[str, str]:
        return {"Cookie": f'{_COOKIE}="{self._value}"'} if self._value else {}

    def learn(self, header: str) -> None:
        with contextlib.suppress(CookieError):
            morsel = SimpleCookie(header).get(_COOKIE)
            if morsel is not None and morsel.value:
                self._value = morsel.value


def _check_soap(answer: Answer) -> None:
    """Tell SOAP from what proxies and half-started services answer.

    Raises:
        HypervisorUnavailable: it says that it is not there now.
        HypervisorProtocol: it is something else.
    """
    if answer.status in _RESTARTING:
        raise HypervisorUnavailable(f"HTTP status {answer.status}")
    kind = answer.content_type.partition(";")[0].strip().lower()
    if answer.status not in (200, 500) or kind not in ("text/xml", "application/soap+xml"):
        raise HypervisorProtocol(f"HTTP status {answer.status} with {kind or 'no type'} instead of SOAP")
    if b"Envelope" not in answer.body[:1024] or b"<!DOCTYPE" in answer.body[:1024]:
        raise HypervisorProtocol("XML, but no SOAP")


@contextlib.contextmanager
def _faults(*, ticket: bool = False, quote: bool = True) -> Iterator[None]:
    """Turn the API's faults into our errors; without the API's own words where those may quote a password.

    Raises:
        ConsoleKitError: or a signal to the session, as ``faults.py`` says.
    """
    try:
        yield
    except vmodl.MethodFault as fault:
        raise _error(fault, ticket=ticket, quote=quote) from None


def _error(fault: Any, *, ticket: bool = False, quote: bool = True) -> Exception:
    names = tuple(cls.__name__ for cls in type(fault).__mro__ if cls.__name__.startswith(("vim.", "vmodl.")))
    power = str(getattr(fault, "existingState", "") or "")
    message = str(fault.msg or "") if quote else ""
    return error_for(names, message, power=power, ticket=ticket)


def connect(call: Call, settings: VSphereSettings, password: Secret) -> SoapSession:
    """Check the certificate, agree on a version, log in.

    Raises:
        LoginRefused: user name or password is wrong.
        ConsoleUnavailable: it cannot be had; the class says why.
    """
    wire = Wire(settings.host, settings.port, settings.tls)
    try:
        session = SoapSession(wire, settings.host, _agree(wire, call))
        session.log_in(call, settings.username, password)
    except BaseException:
        wire.close()
        raise
    return session


def _agree(wire: Wire, call: Call) -> str:
    """The newest version that both sides know; never found by guessing: answers differ by version."""
    answer = wire.request(call, "GET", f"{_PATH}/vimServiceVersions.xml", headers={})
    if answer.status in _RESTARTING:
        raise HypervisorUnavailable(f"HTTP status {answer.status}")
    block = _NAMESPACE.search(answer.body.decode("utf-8", "replace"))
    if answer.status != 200 or block is None:
        raise HypervisorProtocol(f"HTTP status {answer.status}: this is no vSphere API")
    told = set(_VERSION.findall(block[1]))
    for version in GetServiceVersions("vim25"):
        if versionIdMap[version] in told:
            return str(version)
    raise HypervisorProtocol("it speaks no version of the API that pyvmomi knows")


class SoapSession:
    """One login, over pyvmomi. Implements ``Api``."""

    def __init__(self, wire: Wire, host: str, version: str) -> None:
        self._wire, self._host, self._version = wire, host, version
        self._cookie = _Cookie()
        self._content: Any = None
        self.version: str = str(versionIdMap[version])
        self.is_vcenter: bool = False
        self.server_guid: str = ""
        self.thumbprints: tuple[str, str] = ("", "")

    def _stub(self, call: Call) -> _Stub:
        return _Stub(self._wire, call, self._cookie, self._version)

    def _part(self, call: Call, name: str) -> Any:
        """A manager of the service's content, bound to this call."""
        part = getattr(self._content, name)
        if part is None:
            raise ConsoleNotSupported(f"this host has no {name}")
        return type(part)(part._moId, self._stub(call))

    def log_in(self, call: Call, username: str, password: Secret) -> None:
        """Read what the service is, then log in.

        Raises:
            LoginRefused: user name or password is wrong.
            ConsoleUnavailable: it cannot be had; the class says why.
        """
        with _faults(quote=False):
            service = vim.ServiceInstance("ServiceInstance", self._stub(call))
            self._content = service.RetrieveContent()
            about = self._content.about
            self.is_vcenter = about.apiType == "VirtualCenter"
            self.server_guid = about.instanceUuid or ""
            self.version = about.apiVersion or self.version
            self.thumbprints = _thumbprints(self._wire.certificate)
            self._part(call, "sessionManager").Login(userName=username, password=password.reveal())

    def find(self, call: Call, find_by: FindBy, uuid: str) -> tuple[str, ...]:
        """Ask the search index; nothing is scanned."""
        with _faults():
            found = self._part(call, "searchIndex").FindAllByUuid(
                uuid=uuid, vmSearch=True, instanceUuid=find_by is FindBy.INSTANCE_UUID
            )
        return tuple(machine._moId for machine in found or () if isinstance(machine, vim.VirtualMachine))

    def machine(self, call: Call, moid: str) -> Machine:
        """Read the machine and the host that runs it, in one call."""
        machine, host = self._read(call, moid, _MACHINE)
        return _machine(moid, machine, host)

    def vnc(self, call: Call, moid: str) -> VncSettings:
        """Read ``RemoteDisplay.vnc`` besides, without regard to the case of its keys."""
        told, host = self._read(call, moid, (*_MACHINE, "config.extraConfig"))
        machine = _machine(moid, told, host)
        options = {str(o.key).lower(): str(o.value) for o in told.get("config.extraConfig", ())}
        if options.get("remotedisplay.vnc.enabled", "").lower() != "true":
            raise ConsoleNotSupported(f"{moid} has no VNC server: RemoteDisplay.vnc.enabled is not true")
        port = options.get("remotedisplay.vnc.port", "")
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise ConsoleNotSupported(f"{moid} has no RemoteDisplay.vnc.port")
        if not machine.host_name:
            raise HypervisorPermission(f"the account may not see the host of {moid}")
        password = options.get("remotedisplay.vnc.password", "")
        return VncSettings(
            host=machine.host_name,
            port=int(port),
            password=Secret(password) if password else None,
            machine=machine,
        )

    def _read(self, call: Call, moid: str, paths: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Properties of a machine, and of the host that runs it.

        Raises:
            MachineMissing: it is not there.
            SessionLost: the login is not valid any more.
            HypervisorPermission: the account may not read it.
        """
        query = vmodl.query.PropertyCollector
        spec = query.FilterSpec(
            objectSet=[
                query.ObjectSpec(
                    obj=vim.VirtualMachine(moid, None),
                    skip=False,
                    selectSet=[
                        query.TraversalSpec(
                            name="host", type=vim.VirtualMachine, path="runtime.host", skip=False
                        )
                    ],
                )
            ],
            propSet=[
                query.PropertySpec(type=vim.VirtualMachine, all=False, pathSet=list(paths)),
                query.PropertySpec(type=vim.HostSystem, all=False, pathSet=list(_HOST)),
            ],
        )
        with _faults():
            answer = self._part(call, "propertyCollector").RetrievePropertiesEx(
                specSet=[spec], options=query.RetrieveOptions()
            )
        objects = answer.objects if answer is not None else ()
        machine = [item for item in objects if isinstance(item.obj, vim.VirtualMachine)]
        host = [item for item in objects if isinstance(item.obj, vim.HostSystem)]
        if not machine:
            raise MachineMissing
        told = _properties(machine[0])
        if "runtime.powerState" not in told:
            _explain(machine[0])
        return told, _properties(host[0]) if host else {}

    def ticket(self, call: Call, moid: str, kind: str) -> Ticket:
        """Take a fresh ticket, good for one connection."""
        with _faults(ticket=True):
            told = vim.VirtualMachine(moid, self._stub(call)).AcquireTicket(kind)
        prints = getattr(told, "certThumbprintList", None) or ()
        url = getattr(told, "url", None)
        return Ticket(
            kind=kind,
            ticket=Secret(told.ticket),
            cfg_file=told.cfgFile or "",
            host=told.host or "",
            port=told.port or 0,
            url=Secret(url) if url else None,
            ssl_thumbprint=told.sslThumbprint or "",
            cert_thumbprints=tuple((str(p.hashAlgorithm or ""), str(p.thumbprint)) for p in prints),
            certificate_pem=getattr(told, "sslCertificate", None) or "",
            asked_host=self._host,
        )

    def clone_ticket(self, call: Call) -> Secret:
        """Take a copy of this login, for one use."""
        with _faults():
            return Secret(self._part(call, "sessionManager").AcquireCloneTicket())

    def fqdn(self, call: Call) -> str:
        """The vCenter's own name; empty where it has none."""
        try:
            found = self._part(call, "setting").QueryOptions("VirtualCenter.FQDN")
        except vim.fault.InvalidName:
            return ""
        except vmodl.MethodFault as fault:
            raise _error(fault) from None
        return str(found[0].value) if found else ""

    def touch(self, call: Call) -> None:
        """Ask for the time: any question keeps a login alive, and this is the smallest."""
        with _faults():
            vim.ServiceInstance("ServiceInstance", self._stub(call)).CurrentTime()

    def logout(self, call: Call) -> None:
        """End the login."""
        with _faults():
            self._part(call, "sessionManager").Logout()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._wire.close()


def _properties(item: Any) -> dict[str, Any]:
    return {prop.name: prop.val for prop in item.propSet or ()}


def _explain(item: Any) -> None:
    """Say why the state of a machine was not told.

    Raises:
        SessionLost: the login is not valid any more.
        ConsoleKitError: what the API says of it.
    """
    for missing in item.missingSet or ():
        raise _error(missing.fault)
    raise SessionLost


def _machine(moid: str, machine: dict[str, Any], host: dict[str, Any]) -> Machine:
    return Machine(
        moid=moid,
        name=machine.get("name") or "",
        power=str(machine.get("runtime.powerState") or ""),
        connection=str(machine.get("runtime.connectionState") or ""),
        host_name=host.get("name") or "",
        host_connection=str(host.get("runtime.connectionState") or ""),
        host_maintenance=bool(host.get("runtime.inMaintenanceMode")),
        mks_connections=machine.get("runtime.numMksConnections") or 0,
        max_mks_connections=machine.get("config.maxMksConnections") or 0,
        instance_uuid=machine.get("config.instanceUuid") or "",
        bios_uuid=machine.get("config.uuid") or "",
    )


def _thumbprints(certificate: bytes) -> tuple[str, str]:
    sha1 = hashlib.sha1(certificate, usedforsecurity=False).digest()  # as vSphere's own links write it
    sha256 = hashlib.sha256(certificate).digest()
    return sha1.hex(":").upper(), sha256.hex(":").upper()
