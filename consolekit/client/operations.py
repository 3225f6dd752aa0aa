"""Client: the operations of the API as requests to be sent, and how to read what comes back.

Pure; knows no HTTP library, no socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import attrs

from consolekit.__about__ import __version__
from consolekit.client import answers
from consolekit.client.problems import ProblemDocument, UnexpectedAnswer, error_of
from consolekit.core.address import Address, is_host
from consolekit.core.errors import ConfigError, Problem
from consolekit.core.types import ConsoleKey, Mode, Secret

T = TypeVar("T")
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}  # as segments of a path they would mean another one
_LATEST: Final = "compute 2.31"

METHODS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "createConsole": "create",
        "listConsoles": "offers",
        "getConnectInfo": "connect_info",
        "revokeGrant": "revoke",
        "listSessions": "sessions",
        "endSession": "kill",
        "showConsoleAuthToken": "redeem",
        "getSchema": "schema",
    }
)
"""By ``operationId``, the method that both clients have."""

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "createRemoteConsole": "Nova's form of createConsole, which tells less",
        "describeAsYaml": "for people and for tools that read OpenAPI",
        "describeAsJson": "for people and for tools that read OpenAPI",
    }
)
"""By ``operationId``, why there is no method."""


@attrs.frozen(kw_only=True)
class Call(Generic[T]):
    """One request, and what becomes of its answer.

    Attributes:
        method: The HTTP method.
        target: Path and query below the API's own address; not printed, for that of ``redeem`` holds a token.
        headers: Beside those that all requests have.
        body: JSON, or None.
        read: Makes the result of the answer's JSON.
    """

    method: str
    target: str = attrs.field(repr=False)
    read: Callable[[Any], T]
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = attrs.field(default=None, repr=False)

    def result(self, status: int, headers: Mapping[str, str], body: bytes) -> T:
        """What was answered.

        Args:
            status: The HTTP status.
            headers: By lower-case name.
            body: All of it.

        Raises:
            ApiProblem: the API refused; of the error's own class where there is one.
            UnexpectedAnswer: it is no answer of such an API.
        """
        if 200 <= status < 300:
            return self.read(None if status == 204 else _json(status, headers, body))
        raise error_of(
            ProblemDocument.of(status, _json(status, headers, body), headers.get("retry-after", ""))
        )


def _json(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnexpectedAnswer(f"HTTP status {status} with a body that is no JSON")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnexpectedAnswer(f"HTTP status {status} with a body that is no JSON") from None


def create(
    server_id: str,
    key: ConsoleKey,
    *,
    subject: str | None,
    mode: Mode,
    ttl_seconds: int | None,
    params: Mapping[str, Any] | None,
) -> Call[answers.Console]:
    """``createConsole``."""
    optional = {"subject": subject, "ttl_seconds": ttl_seconds, "params": params and dict(params)}
    data = {
        "protocol": key.protocol,
        "type": key.type,
        "mode": mode.value,
        **{name: value for name, value in optional.items() if value is not None},
    }
    return Call(
        method="POST",
        target=_path("servers", server_id, "console"),
        headers={"Content-Type": "application/json"},
        body=json.dumps(data).encode(),
        read=answers.console,
    )


def offers(server_id: str) -> Call[list[answers.Offer]]:
    """``listConsoles``."""
    return Call(method="GET", target=_path("servers", server_id, "consoles"), read=answers.offers)


def connect_info(server_id: str, key: ConsoleKey) -> Call[answers.ConnectInfo]:
    """``getConnectInfo``."""
    query = urlencode({"protocol": key.protocol, "type": key.type})
    target = f"{_path('servers', server_id, 'connect-info')}?{query}"
    return Call(method="GET", target=target, read=answers.connect_info)


def revoke(grant_id: str) -> Call[None]:
    """``revokeGrant``."""
    return Call(method="DELETE", target=_path("grants", grant_id), read=answers.nothing)


def sessions(server_id: str | None) -> Call[list[answers.Session]]:
    """``listSessions``."""
    query = "" if server_id is None else f"?{urlencode({'server_id': server_id})}"
    return Call(method="GET", target=f"/sessions{query}", read=answers.sessions)


def kill(session_id: str) -> Call[None]:
    """``endSession``."""
    return Call(method="DELETE", target=_path("sessions", session_id), read=answers.nothing)


def redeem(token: Secret) -> Call[answers.Redeemed]:
    """``showConsoleAuthToken``."""
    return Call(
        method="GET",
        target=_path("v2.1", "os-console-auth-tokens", token.reveal()),
        headers={"OpenStack-API-Version": _LATEST},
        read=answers.redeemed,
    )


def schema() -> Call[Mapping[str, Any]]:
    """``getSchema``."""
    return Call(method="GET", target="/schema", read=answers.schema)


def _path(*segments: str) -> str:
    return "".join(f"/{_DOTS.get(segment) or quote(segment, safe='')}" for segment in segments)


def _without_slash(url: str) -> str:
    return url.rstrip("/")


@attrs.frozen(kw_only=True)
class Gateway:
    """Where the API is, and who we are there.

    Attributes:
        url: ``https://HOST[:PORT][/PATH]``; ``http://`` on loopback only.
        key: The API key; None where the API asks for none.
    """

    url: str = attrs.field(converter=_without_slash)
    key: Secret | None = None

    def __attrs_post_init__(self) -> None:
        """See that neither would do harm.

        Raises:
            ConfigError: it cannot be meant, or would send the key in clear over a network.
        """
        if problems := [*_url_problems(self.url), *_key_problems(self.key)]:
            raise ConfigError(problems)

    def headers(self, call: Call[Any]) -> list[tuple[str, str]]:
        """All headers of a request but those that HTTP itself needs."""
        shown = [] if self.key is None else [("Authorization", f"Bearer {self.key.reveal()}")]
        return [
            ("Accept", "application/json, application/problem+json, application/schema+json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", f"consolekit/{__version__}"),
            *shown,
            *call.headers.items(),
        ]


def _url_problems(url: str) -> Sequence[Problem]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return [Problem("url", "is written https://HOST[:PORT][/PATH]")]
    plain = f"{parts.scheme}://{parts.netloc}{parts.path}" == url and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not plain or not is_host(host) or port == 0:
        return [Problem("url", "is written https://HOST[:PORT][/PATH], without user, query and fragment")]
    if parts.path != quote(parts.path, safe="/%:@!$&'()*+,;=~-._") or {".", ".."} & set(
        parts.path.split("/")
    ):
        return [Problem("url", "has a path with characters that none has, or with '.' or '..'")]
    if parts.scheme == "http" and not Address(host, 80).is_loopback:
        return [Problem("url", "must be https://: over a network, keys and links do not travel in clear")]
    return []


def _key_problems(key: Secret | None) -> Sequence[Problem]:
    text = "x" if key is None else key.reveal()
    if not text or not all("!" <= letter <= "~" for letter in text):
        return [Problem("key", "must be one word of visible ASCII characters, such as cka_...")]
    return []
