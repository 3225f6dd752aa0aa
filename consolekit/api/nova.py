"""API: Nova's form of two operations (OpenStack's Compute API reference). Knows its words; decides nothing.

Nova knows no 422: what breaks the schema and pairs that are not offered are 400 here. A problem document also
has ``message``, which is where Nova's clients look. Microversions are asked for and told as Nova does it; a
client that names none is served as 2.31, for it knows what it calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tornado.web import HTTPError

from consolekit.api.handler import ApiHandler
from consolekit.api.redeem import redeem
from consolekit.core.errors import (
    ConsoleKitError,
    InvalidRequest,
    MalformedRequest,
    NotFound,
    TokenRefused,
)
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import Caller, Secret, Target

Version = tuple[int, int]
HEADERS = ("OpenStack-API-Version", "X-OpenStack-Nova-API-Version")
_FIRST, _LATEST = (2, 1), (2, 99)
_UNSAID = (2, 31)
_WITH_TLS_PORT = (2, 99)
_VERSION = re.compile(r"latest|[1-9][0-9]{0,8}\.(?:0|[1-9][0-9]{0,8})")
_STRICT_STRING = {"type": "string"}
_ENVELOPE = validator_of(
    {
        "type": "object",
        "properties": {
            "remote_console": {
                "type": "object",
                "properties": {"protocol": _STRICT_STRING, "type": _STRICT_STRING},
                "required": ["protocol", "type"],
                "additionalProperties": False,
            }
        },
        "required": ["remote_console"],
        "additionalProperties": False,
    }
)


def asked_versions(general: Sequence[str], own: Sequence[str]) -> list[Version]:
    """The microversions that a request asks for: none, one, or one in either header, and the first counts.

    Args:
        general: Values of ``OpenStack-API-Version``: ``compute 2.31``. What names another does not count.
        own: Values of ``X-OpenStack-Nova-API-Version``.

    Raises:
        MalformedRequest: one is written in another way, or there are two in one header.
    """
    items = [item.partition(" ") for line in general for item in map(str.strip, line.split(","))]
    named = [version.strip() for service, _, version in items if service.lower() == "compute"]
    if not all(_VERSION.fullmatch(text) for text in (*named, *own)):
        raise MalformedRequest("a microversion is written like 2.31")
    if len(named) > 1 or len(own) > 1:
        raise MalformedRequest("more than one microversion is asked for")
    return [_version(text) for text in (*named, *own)]


def _version(text: str) -> Version:
    if text == "latest":
        return _LATEST
    major, minor = text.split(".")
    return int(major), int(minor)


class _NovaHandler(ApiHandler):
    """Microversions, and refusals as Nova's clients know them.

    Attributes:
        since: The microversion that brought the operation.
        before: The status of an older one.
    """

    token_header = True
    since: ClassVar[Version]
    before: ClassVar[int]

    def set_default_headers(self) -> None:
        """As everywhere, and which microversion this is."""
        super().set_default_headers()
        self.set_header("Vary", ", ".join(HEADERS))
        version: Version | None = getattr(self, "_version", None)
        if version is not None:
            self.set_header(HEADERS[0], f"compute {version[0]}.{version[1]}")
            self.set_header(HEADERS[1], f"{version[0]}.{version[1]}")

    def negotiate(self) -> Version:
        """Agree on a microversion, or refuse; where both headers name one, both must do.

        Raises:
            MalformedRequest: it is written in another way.
            HTTPError: 406, there is no such microversion here; ``before``, the operation is younger.
        """
        headers = self.request.headers
        versions = asked_versions(*(headers.get_list(name) for name in HEADERS)) or [_UNSAID]
        if not all(_FIRST <= version <= _LATEST for version in versions):
            raise HTTPError(406)
        self._version = versions[0]
        if min(versions) < self.since:
            raise HTTPError(self.before)
        self.set_default_headers()
        return versions[0]

    def document_of(self, error: ConsoleKitError) -> dict[str, Any]:
        """The problem with the statuses that Nova's clients know."""
        document = super().document_of(error)
        if document["status"] == 422:
            document["status"] = 400
        return document

    def write_problem(self, document: dict[str, Any]) -> None:
        """As everywhere, with the member that Nova's clients show."""
        super().write_problem({**document, "message": document.get("detail", document["title"])})


class NovaRemoteConsoles(_NovaHandler):
    """``/v2.1/servers/{server_id}/remote-consoles``: "Create Console", 2.6 and later."""

    since: ClassVar[Version] = (2, 6)
    before = 404

    async def on_post(self, caller: Caller, server_id: str) -> None:
        """Make a link to a server's console, for the caller itself."""
        self.negotiate()
        body = self.json_body()
        if problems := problems_of(_ENVELOPE, body):
            raise InvalidRequest(problems)
        link = await self.api.kit.create(server_id, body["remote_console"], caller=caller)
        console = {"protocol": link.key.protocol, "type": link.key.type, "url": link.url.reveal()}
        self.send(json.dumps({"remote_console": console}))


class NovaAuthTokens(_NovaHandler):
    """``/v2.1/os-console-auth-tokens/{token}``: "Show Console Connection Information", 2.31 and later.

    For proxies of others: the token is redeemed, and the console's place is told with what opens it.
    """

    since: ClassVar[Version] = (2, 31)
    before = 400

    async def on_get(self, caller: Caller, token: str) -> None:
        """Redeem the token; for callers that may see secrets."""
        version = self.negotiate()
        try:
            grant, target = await redeem(self.api.kit, Secret(token), caller=caller)
        except TokenRefused as exc:
            raise NotFound(str(exc)) from exc
        console = _shown(grant.request.server_id, target)
        if version >= _WITH_TLS_PORT:
            console["tls_port"] = None  # of native SPICE alone
        self.send(json.dumps({"console": console}))


def _shown(server_id: str, target: Target) -> dict[str, Any]:
    return {
        "instance_uuid": server_id,
        "host": target.host,
        "port": target.port,
        "internal_access_path": target.access.reveal() if target.access else None,
    }
