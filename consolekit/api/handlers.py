"""API: the operations. Knows the kit's words and their JSON; decides nothing itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from consolekit.api.handler import ApiHandler
from consolekit.core.errors import ConsoleKitError, InvalidRequest, Problem, UnsupportedConsole
from consolekit.core.types import Caller, ConsoleKey, Secret, SessionInfo
from consolekit.kit import Offer


def rfc3339(seconds: float) -> str:
    """An instant as RFC 3339 in UTC: ``2026-11-21T02:43:00.123Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ServerConsole(ApiHandler):
    """``/servers/{server_id}/console``."""

    async def on_post(self, caller: Caller, server_id: str) -> None:
        """Make a link to a server's console."""
        link = await self.api.kit.create(server_id, self.json_body(), caller=caller)
        answer = {
            "protocol": link.key.protocol,
            "type": link.key.type,
            "mode": link.mode.value,
            "url": link.url.reveal(),
            "server_id": link.server_id,
            "grant_id": link.grant_id,
            "expires_at": rfc3339(link.expires_at),
        }
        self.send(json.dumps(answer))


class ServerConsoles(ApiHandler):
    """``/servers/{server_id}/consoles``."""

    async def on_get(self, caller: Caller, server_id: str) -> None:
        """Which pairs the server offers now."""
        offers = await self.api.kit.offers(server_id, caller=caller)
        self.send(json.dumps({"consoles": [_offer(offer) for offer in offers]}))


def _offer(offer: Offer) -> dict[str, Any]:
    shown = {"protocol": offer.key.protocol, "type": offer.key.type, "available": offer.available}
    return shown if offer.available else {**shown, "code": offer.code}


class ConnectInfo(ApiHandler):
    """``/servers/{server_id}/connect-info``."""

    query: ClassVar[frozenset[str]] = frozenset({"protocol", "type"})

    async def on_get(self, caller: Caller, server_id: str) -> None:
        """What a program needs to open a console past us; what is secret, only for who may see it."""
        key = self._key()
        info = await self.api.kit.connect_info(server_id, key, caller=caller)
        answer = {
            "protocol": key.protocol,
            "type": key.type,
            "server_id": server_id,
            "connect_info": _without_secrets(info, see=caller.see_secrets),
        }
        self.send(json.dumps(answer))

    def document_of(self, error: ConsoleKitError) -> dict[str, Any]:
        """The problem; here a pair that is not offered is a thing that is not there."""
        document = super().document_of(error)
        return {**document, "status": 404} if isinstance(error, UnsupportedConsole) else document

    def _key(self) -> ConsoleKey:
        given = {name: self.get_query_argument(name, None, strip=False) for name in ("protocol", "type")}
        if problems := [Problem(name, "is required") for name, value in given.items() if value is None]:
            raise InvalidRequest(problems)
        try:
            return ConsoleKey(given["protocol"] or "", given["type"] or "")
        except ValueError as exc:
            raise InvalidRequest([Problem("protocol, type", str(exc))]) from None


def _without_secrets(value: object, *, see: bool) -> Any:
    """Plain data, secrets as they are or as ``***``."""
    if isinstance(value, Mapping):
        return {str(name): _without_secrets(item, see=see) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item, see=see) for item in value]
    return (value.reveal() if see else str(value)) if isinstance(value, Secret) else value


class OneGrant(ApiHandler):
    """``/grants/{grant_id}``."""

    async def on_delete(self, caller: Caller, grant_id: str) -> None:
        """Take a grant back and end its session."""
        await self.api.kit.revoke(grant_id, caller=caller)
        self.set_status(204)


class Sessions(ApiHandler):
    """``/sessions``."""

    query: ClassVar[frozenset[str]] = frozenset({"server_id"})

    async def on_get(self, caller: Caller) -> None:
        """The live sessions that the caller may see."""
        server_id = self.get_query_argument("server_id", None, strip=False)
        if server_id is not None:
            server_id = self.api.kit.schema.check_server_id(server_id)
        sessions = await self.api.kit.sessions(caller=caller, server_id=server_id)
        self.send(json.dumps({"sessions": [_session(session) for session in sessions]}))


def _session(session: SessionInfo) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "grant_id": session.grant_id,
        "protocol": session.key.protocol,
        "type": session.key.type,
        "server_id": session.server_id,
        "subject": session.subject,
        "mode": session.mode.value,
        "address": session.address,
        "started_at": rfc3339(session.started_at),
        "bytes_in": session.bytes_in,
        "bytes_out": session.bytes_out,
    }


class OneSession(ApiHandler):
    """``/sessions/{session_id}``."""

    async def on_delete(self, caller: Caller, session_id: str) -> None:
        """End a live session."""
        await self.api.kit.kill(session_id, caller=caller)
        self.set_status(204)


class OpenApiYaml(ApiHandler):
    """``/openapi.yaml``."""

    public = True

    async def on_get(self, caller: Caller) -> None:
        """This API's description."""
        self.send(self.api.description.as_yaml(), "application/yaml")


class OpenApiJson(ApiHandler):
    """``/openapi.json``."""

    public = True

    async def on_get(self, caller: Caller) -> None:
        """The same as JSON."""
        self.send(self.api.description.as_json())


class Schema(ApiHandler):
    """``/schema``."""

    public = True

    async def on_get(self, caller: Caller) -> None:
        """The console request's JSON Schema."""
        self.send(json.dumps(self.api.kit.schema.document()), "application/schema+json")
