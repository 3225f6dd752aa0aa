"""A stand-in for a cluster's API server with KubeVirt's virt-api behind it; a peer for tests.

It does what a console meets there, as the sources of KubeVirt (pkg/virt-api/rest, pkg/virt-handler/rest)
and of Kubernetes do it: TLS, bearer tokens, permissions by resource, objects as JSON, failures as ``Status``
objects, and the subresources ``vnc`` and ``console`` as websockets before the unix sockets of a real QEMU.
What it is not: etcd, RBAC's rules, admission, any write.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

PLAIN = Subprotocol("plain.kubevirt.io")
# io.Copy's buffer, and gorilla/websocket's as client-go sets it.
_READ, _FRAME = 32 * 1024, 10240


@dataclass(kw_only=True)
class Instance:
    """One virtual machine instance: what its object says, and where its QEMU listens."""

    phase: str = "Running"
    devices: dict[str, Any] = field(default_factory=dict)
    sockets: dict[str, Path] = field(default_factory=dict)

    def object(self, namespace: str, name: str) -> dict[str, Any]:
        """As a GET answers, in short."""
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"domain": {"devices": self.devices}},
            "status": {"phase": self.phase, "nodeName": "node-1"},
        }


@dataclass(kw_only=True)
class VirtApi:
    """The stand-in's state; a test changes it as it goes.

    Attributes:
        accounts: User names by token.
        denied: What no account may get: ``virtualmachineinstances``, ``virtualmachineinstances/vnc``.
        instances: By ``(namespace, name)``.
        machines: Names of the virtual machines that there are, running or not.
        instead: An answer that stands in for every other.
        asked: The path and subprotocols of every request, in order.
    """

    accounts: dict[str, str] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    instances: dict[tuple[str, str], Instance] = field(default_factory=dict)
    machines: set[tuple[str, str]] = field(default_factory=set)
    instead: tuple[int, bytes] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0
    _viewers: dict[tuple[str, ...], ServerConnection] = field(default_factory=dict)
    _streams: dict[ServerConnection, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(
        default_factory=dict
    )

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request; None lets the websocket's handshake go on."""
        self.asked.append((request.path, request.headers.get("Sec-WebSocket-Protocol", "")))
        if self.instead is not None:
            return _response(*self.instead)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.accounts:
            return _status(401, "Unauthorized", "Unauthorized")
        user = self.accounts.get(token, "system:anonymous")
        match request.path.split("?")[0].split("/"):
            case ["", "apis", "kubevirt.io" as group, "v1", "namespaces", namespace, resource, name]:
                pass
            case [
                "",
                "apis",
                "subresources.kubevirt.io" as group,
                "v1",
                "namespaces",
                namespace,
                resource,
                name,
                sub,
            ]:
                resource = f"{resource}/{sub}"
            case _:
                return _response(404, b"404 page not found\n")
        if user == "system:anonymous" or resource in self.denied:
            return _forbidden(user, group, namespace, resource, name)
        if resource == "virtualmachines" and (namespace, name) in self.machines:
            return _response(
                200, json.dumps({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine"}).encode()
            )
        instance = self.instances.get((namespace, name))
        if instance is None or resource == "virtualmachines":
            return _not_found(resource.split("/")[0], name)
        if resource == "virtualmachineinstances":
            return _response(200, json.dumps(instance.object(namespace, name)).encode())
        return await self._console(connection, instance, (namespace, name, resource))

    async def _console(
        self, connection: ServerConnection, instance: Instance, which: tuple[str, ...]
    ) -> Response | None:
        subresource = which[2].split("/")[1]
        if subresource not in ("vnc", "console"):
            return _response(404, b"404: Page Not Found")
        if subresource == "vnc" and instance.devices.get("autoattachGraphicsDevice") is False:
            return _status(400, "BadRequest", "No graphics devices are present.")
        if instance.phase != "Running":
            return _status(400, "BadRequest", "VMI is not running")
        try:
            streams = await asyncio.open_unix_connection(instance.sockets[subresource])
        except (OSError, KeyError):
            return _status(
                500,
                "InternalError",
                "Internal error occurred: dialing virt-handler: websocket: bad handshake",
            )
        # virt-handler: the next viewer of a device ends the one before.
        if (before := self._viewers.pop(which, None)) is not None:
            before.transport.close()
        self._viewers[which], self._streams[connection] = connection, streams
        return None

    async def bridge(self, connection: ServerConnection) -> None:
        """Carry bytes until one side ends; the other is then closed without a close frame."""
        reader, writer = self._streams.pop(connection)
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(_to_machine(connection, writer))
                down = group.create_task(_to_viewer(reader, connection))
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                connection.transport.close()
                writer.close()
        finally:
            connection.transport.close()
            writer.close()
            self._viewers = {key: viewer for key, viewer in self._viewers.items() if viewer is not connection}


@asynccontextmanager
async def serving(api: VirtApi, tls: ssl.SSLContext) -> AsyncIterator[VirtApi]:
    """Serve on a free port of 127.0.0.1."""
    server: Server
    # The kit listens to every logger for tokens, and this server's would quote each header.
    silent = logging.getLogger("virt-api")
    silent.disabled = True
    async with serve(
        api.bridge,
        "127.0.0.1",
        0,
        ssl=tls,
        process_request=api.answer,
        select_subprotocol=_select,
        compression=None,
        ping_interval=None,
        max_size=None,
        logger=silent,
    ) as server:
        api.port = next(iter(server.sockets)).getsockname()[1]
        yield api


def _select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # gorilla's upgrader goes on without a subprotocol where none fits.
    return PLAIN if PLAIN in offered else None


async def _to_machine(connection: ServerConnection, writer: asyncio.StreamWriter) -> None:
    try:
        async for message in connection:
            # client-go leaves text out.
            if isinstance(message, bytes):
                writer.write(message)
                await writer.drain()
    except (ConnectionClosed, OSError):
        pass


async def _to_viewer(reader: asyncio.StreamReader, connection: ServerConnection) -> None:
    try:
        while data := await reader.read(_READ):
            if len(data) <= _FRAME:
                await connection.send(data)
            elif len(data) > 2 * _FRAME:
                # As gorilla does: all of it in one frame that is not the last, then an empty last one.
                await connection.send([data])
            else:
                await connection.send([data[:_FRAME], data[_FRAME:]])
    except (ConnectionClosed, OSError):
        pass


def _response(status: int, body: bytes) -> Response:
    kind = "application/json" if body.startswith(b"{") else "text/plain; charset=utf-8"
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, http.HTTPStatus(status).phrase, headers, body)


def _status(code: int, reason: str, message: str, **details: str) -> Response:
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    status |= {"message": message, "reason": reason, "code": code}
    if details:
        status["details"] = details
    return _response(code, json.dumps(status).encode())


def _not_found(resource: str, name: str) -> Response:
    return _status(
        404,
        "NotFound",
        f'{resource}.kubevirt.io "{name}" not found',
        name=name,
        group="kubevirt.io",
        kind=resource,
    )


def _forbidden(user: str, group: str, namespace: str, resource: str, name: str) -> Response:
    kind = resource.split("/")[0]
    message = (
        f'{kind}.{group} "{name}" is forbidden: User "{user}" cannot get resource "{resource}" '
        f'in API group "{group}" in the namespace "{namespace}"'
    )
    return _status(403, "Forbidden", message, name=name, group=group, kind=kind)
