"""The provider: which console of which virtual machine instance, and whether there is one now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from consolekit import (
    ConsoleKey,
    ConsoleProvider,
    ConsoleRequest,
    Endpoint,
    Mode,
    Shared,
    TlsPolicy,
    Transport,
    ViewerFilter,
)
from consolekit.core.errors import (
    ConfigError,
    ConsoleNotSupported,
    HostUnavailable,
    HypervisorLoginFailed,
    HypervisorPermission,
    Problem,
    ProviderError,
    ServerBusy,
    ServerGone,
    ServerPoweredOff,
    UnknownServer,
)
from consolekit.providers.rfbfilter import Begins, RfbFilter
from consolekit_kubevirt.cluster import Cluster

# https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SERVER = "https://kubernetes.default.svc"
# A websocket of bytes as they are, instead of Kubernetes' numbered channels.
_PLAIN = "plain.kubevirt.io"

_SCREEN, _SERIAL = ConsoleKey("vnc", "novnc"), ConsoleKey("serial", "serial")
# The subresource of each, and the switch in the instance's specification that leaves the device out.
_CONSOLES = {_SCREEN: ("vnc", "autoattachGraphicsDevice"), _SERIAL: ("console", "autoattachSerialConsole")}

# Names of namespaces are labels, those of instances are subdomains (RFC 1123); neither has a colon.
_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_SERVER_ID = re.compile(rf"({_LABEL}):({_LABEL}(?:\.{_LABEL})*)")


class KubeVirtProvider(ConsoleProvider):
    """Consoles of the virtual machine instances of one cluster; server ids are ``NAMESPACE:NAME``."""

    api_version = 1
    keys = (_SCREEN, _SERIAL)
    modes = tuple(Mode)
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "server": {
                "type": "string",
                "pattern": r"^https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$",
                "description": f"The API server, as a kubeconfig names it. Default: {_SERVER}.",
            },
            "ca_file": {
                "type": "string",
                "minLength": 1,
                "format": "path",
                "description": "PEM file of the cluster's CA. Default: the pod's own.",
            },
            "token_file": {
                "type": "string",
                "minLength": 1,
                "format": "path",
                "description": "The account's token, read at every use. Default: the pod's own.",
            },
        },
        "additionalProperties": False,
    }

    def __init__(
        self, *, server: str = _SERVER, ca_file: Path | None = None, token_file: Path | None = None
    ) -> None:
        self._cluster = Cluster(
            server=server,
            ca_file=ca_file or _ACCOUNT / "ca.crt",
            token_file=token_file or _ACCOUNT / "token",
        )

    # [config]
    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        """Build from the operator's table.

        Raises:
            ConfigError: the server's port is none.
        """
        files = {key: Path(config[key]) for key in ("ca_file", "token_file") if key in config}
        provider = cls(server=config.get("server", _SERVER), **files)
        try:
            provider._cluster.port  # noqa: B018 - the property reads it
        except ValueError:
            raise ConfigError([Problem(path="server", message="the port must be 0 to 65535")]) from None
        return provider

    # [check]
    async def check(self, request: ConsoleRequest) -> None:
        """Say early what virt-api would refuse later, in words that the viewer's page has.

        Raises:
            UnknownServer: there is no such virtual machine.
            ServerPoweredOff: it does not run.
            ServerBusy: it is being started.
            HostUnavailable: its node does not answer.
            ConsoleNotSupported: it has no such device.
            ConsoleUnavailable: the API server cannot be asked; one of its exact kinds.
        """
        namespace, name = _names(request)
        instance = await self._cluster.find(_path("kubevirt.io", namespace, "virtualmachineinstances", name))
        if instance is None:
            await self._explain_none(namespace, name)
            return
        devices = _within(instance, "spec", "domain", "devices")
        _, switch = _CONSOLES[request.key]
        if isinstance(devices, Mapping) and devices.get(switch) is False:
            raise ConsoleNotSupported(f"{request.server_id} has {switch} = false")
        _must_run(request.server_id, _within(instance, "status", "phase"))

    # [open]
    async def open(self, request: ConsoleRequest) -> Endpoint:
        """Say where the console is, with the token as it is now.

        KubeVirt has one viewer for each device: the next one's connection ends the one before.
        """
        await self.check(request)
        namespace, name = _names(request)
        subresource, _ = _CONSOLES[request.key]
        path = _path("subresources.kubevirt.io", namespace, "virtualmachineinstances", name)
        return Endpoint(
            transport=Transport.WSS,
            host=self._cluster.host,
            port=self._cluster.port,
            path=f"{self._cluster.prefix}{path}/{subresource}",
            tls=TlsPolicy(ca_file=self._cluster.ca_file),
            headers=(("Authorization", await self._cluster.authorization()),),
            subprotocols=(_PLAIN,),
            exclusive=True,
        )

    # [refused]
    def refused(self, endpoint: Endpoint, status: int) -> ProviderError | None:
        """Say what virt-api means: ``check`` has seen the instance a moment before."""
        if status == 401:
            return HypervisorLoginFailed("the API server does not know the token for this console (401)")
        if status == 403:
            return HypervisorPermission("the account may not open this subresource (403)")
        if status == 404:
            return ServerGone("the instance is gone (404)")
        if status == 400:
            return ServerBusy("the instance ends or starts (400)")
        return None

    # [filter]
    def viewer_filter(self, endpoint: Endpoint, mode: Mode) -> ViewerFilter:
        """QEMU's RFB from the first byte, or a line on which every byte is a key."""
        if endpoint.path.endswith("/vnc"):
            return RfbFilter(mode, begins=Begins.VERSION)
        return _LineFilter(mode)

    # [end]
    async def _explain_none(self, namespace: str, name: str) -> None:
        # A machine that is switched off has no instance; it is known all the same.
        try:
            machine = await self._cluster.find(_path("kubevirt.io", namespace, "virtualmachines", name))
        except HypervisorPermission:
            machine = None
        if machine is not None:
            raise ServerPoweredOff(f"{namespace}:{name} has no running instance")
        raise UnknownServer(f"no virtual machine {name} in namespace {namespace}")


class _LineFilter(ViewerFilter):
    """What is sent to a serial line is input, all of it."""

    def __init__(self, mode: Mode) -> None:
        self._pass = mode is Mode.INTERACT
        self._inputs = 0

    @property
    def inputs(self) -> int:
        return self._inputs

    def feed(self, data: bytes) -> bytes:
        self._inputs += len(data)
        return data if self._pass else b""


def _names(request: ConsoleRequest) -> tuple[str, str]:
    match = _SERVER_ID.fullmatch(request.server_id)
    if match is None:
        raise UnknownServer("the server id is not NAMESPACE:NAME")
    return match[1], match[2]


def _path(group: str, namespace: str, resource: str, name: str) -> str:
    return f"/apis/{group}/v1/namespaces/{namespace}/{resource}/{name}"


def _within(answer: object, *keys: str) -> object:
    for key in keys:
        answer = answer.get(key) if isinstance(answer, Mapping) else None
    return answer


def _must_run(server_id: str, phase: object) -> None:
    # https://kubevirt.io/api-reference/main/definitions.html, VirtualMachineInstanceStatus.phase
    if phase == "Running":
        return
    if phase in ("Succeeded", "Failed"):
        raise ServerPoweredOff(f"{server_id} has ended: {phase}")
    if phase == "Unknown":
        raise HostUnavailable(f"the node of {server_id} does not answer")
    raise ServerBusy(f"{server_id} does not run yet")
