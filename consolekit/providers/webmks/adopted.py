"""Providers, WebMKS: tickets that somebody else has taken, in the words of Nova's driver for VMware.

Pure. Two forms of ``internal_access_path`` are known: the JSON of an ``mks`` ticket, for port 902, and the
path of a ``webmks`` ticket, for a websocket of the host.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from consolekit.core.errors import HypervisorProtocol, UnknownServer
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import Secret, Target
from consolekit.providers.vsphere import CloneInfo, Machine, Ticket
from consolekit.providers.webmks.ticket import AuthdEndpoint

_PREFIX = "/ticket/"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 1024}
_MKS = validator_of(
    {
        "type": "object",
        "required": ["ticket", "cfgFile"],
        "properties": {"ticket": _TEXT, "cfgFile": _TEXT, "thumbprint": {"type": ["string", "null"]}},
    }
)
_SEPARATORS = re.compile(r"[: ]")
_SHA256_DIGITS = 64


def ticket_of(target: Target) -> Ticket:
    """The ticket in what somebody else has named; its fields are checked where it becomes an endpoint.

    Raises:
        HypervisorProtocol: it is in neither form; nothing of it is quoted.
    """
    access = target.access.reveal() if target.access else ""
    if access.startswith(_PREFIX):
        ticket = Secret(access.removeprefix(_PREFIX))
        return Ticket(kind="webmks", ticket=ticket, host=target.host, port=target.port)
    try:
        data = json.loads(access)
    except (ValueError, RecursionError):
        data = None
    if problems_of(_MKS, data):
        raise HypervisorProtocol("the console that was named has no ticket in a form that is known")
    thumbprint = _SEPARATORS.sub("", data.get("thumbprint") or "")
    is_sha256 = len(thumbprint) == _SHA256_DIGITS
    return Ticket(
        kind="mks",
        ticket=Secret(data["ticket"]),
        cfg_file=data["cfgFile"],
        host=target.host,
        port=target.port,
        ssl_thumbprint="" if is_sha256 else thumbprint,
        cert_thumbprints=(("sha256", thumbprint),) if is_sha256 else (),
    )


def named_mks(endpoint: AuthdEndpoint) -> Target:
    """The same JSON, of an endpoint on port 902."""
    access = {
        "ticket": endpoint.secret.reveal() if endpoint.secret else "",
        "cfgFile": endpoint.cfg_file,
        "thumbprint": endpoint.tls.pin_sha256 or endpoint.tls.pin_sha1 or "",
    }
    return Target(host=endpoint.host, port=endpoint.port, access=Secret(json.dumps(access)))


class NoMachines:
    """The machines of no vCenter, where all consoles are named by others."""

    api_version = ""

    async def version(self) -> str:
        """There is none.

        Raises:
            UnknownServer: always.
        """
        self._none()

    async def machine(self, server_id: str) -> Machine:
        """There is none.

        Raises:
            UnknownServer: always.
        """
        self._none()

    async def ticket(self, server_id: str, kind: str) -> Ticket:
        """There is none.

        Raises:
            UnknownServer: always.
        """
        self._none()

    async def clone_ticket(self, server_id: str) -> CloneInfo:
        """There is none.

        Raises:
            UnknownServer: always.
        """
        self._none()

    def _none(self) -> NoReturn:
        raise UnknownServer("no vCenter is configured: only consoles that others have named are shown")
