"""Core: the nouns. Data only; knows no I/O library, no provider, no transport."""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, final

import attrs

_WORD = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Clock(Protocol):
    """Where time comes from; injected, so that tests own it."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back; for durations and deadlines."""


@final
class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch."""
        return time.time()  # noqa: TID251 - the one place that may ask

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


@final
class Secret:
    """A text that must not be seen: prints ``***`` wherever it is printed.

    ``attrs.asdict`` keeps the object itself, ``json`` refuses it, ``pickle`` refuses it;
    ``reveal()`` is the only way out, and can be searched for.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


def _check_word(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or len(value) > 64 or not _WORD.fullmatch(value):
        raise ValueError(f"{attribute.name} must be lower-case letters, digits and single hyphens")


@attrs.frozen(order=True)
class ConsoleKey:
    """The ``<protocol, type>`` pair; ``str()`` is ``vnc/novnc``.

    Attributes:
        protocol: What the hypervisor speaks: ``vnc``, ``mks``, ``serial``, ``spice``.
        type: What the viewer is: ``novnc``, ``webmks``, ``serial``, ``spice-html5``.
    """

    protocol: str = attrs.field(validator=_check_word)
    type: str = attrs.field(validator=_check_word)

    def __str__(self) -> str:
        return f"{self.protocol}/{self.type}"

    @classmethod
    def parse(cls, text: str) -> ConsoleKey:
        """Read ``vnc/novnc``.

        Raises:
            ValueError: it is not two words around one slash.
        """
        protocol, slash, kind = text.partition("/")
        if not slash:
            raise ValueError("a console key is written protocol/type, for example vnc/novnc")
        return cls(protocol, kind)


class Mode(enum.Enum):
    """What a viewer may do with a console."""

    INTERACT = "interact"
    VIEW = "view"


def _freeze(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))


@attrs.frozen(kw_only=True)
class ConsoleRequest:
    """A validated wish for a console. Outside data becomes one only through ``core.schema``.

    Attributes:
        key: Which pair.
        server_id: Which server, in the words of its provider: letters, digits and ``._:@-``, beginning with
            a letter, a digit or ``_``, at most 128.
        subject: For whom (a user or service), as the caller of the API names it.
        mode: Whether the viewer may do something there, or only look.
        params: What else the provider's ``params_schema`` allows; read-only.
    """

    key: ConsoleKey
    server_id: str
    subject: str
    mode: Mode = Mode.INTERACT
    params: Mapping[str, Any] = attrs.field(factory=dict, converter=_freeze, hash=False)


class Transport(enum.Enum):
    """How the proxy reaches the console's server."""

    TCP = "tcp"
    TLS = "tls"
    UNIX = "unix"
    WS = "ws"
    WSS = "wss"


@attrs.frozen(kw_only=True)
class TlsPolicy:
    """Which certificate is the right one: one policy object for every protocol; fails closed.

    With neither ``ca_file``, ``ca_data`` nor a pin, the system's CAs decide.

    Attributes:
        ca_file: PEM file of the CAs that may have signed the server's certificate.
        ca_data: The same as PEM text.
        server_name: The name that the certificate must carry; default: the endpoint's host.
        pin_sha256: SHA-256 of the server's certificate (DER) in hex. With a pin the certificate is
            trusted for being that one; CA and name are not asked.
        pin_sha1: The same with SHA-1, for servers that tell nothing better; unused beside ``pin_sha256``.
        client_cert: PEM file of our own certificate, where the server wants one.
        client_key: PEM file of its key; default: in ``client_cert``.
    """

    ca_file: Path | None = None
    ca_data: str | None = attrs.field(default=None, repr=False)
    server_name: str | None = None
    pin_sha256: str | None = None
    pin_sha1: str | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


@attrs.frozen(kw_only=True)
class Endpoint:
    """Where and how to connect: all that the proxy needs. Providers may subclass it.

    Attributes:
        transport: TCP, TLS from the first byte, a unix socket, or a websocket without or with TLS.
        host: Name or address; unused for UNIX.
        port: TCP port; unused for UNIX.
        path: The socket's path for UNIX; the request target for WS and WSS, where ``{secret}`` stands for
            ``secret`` so that the path itself can be logged.
        tls: Certificate policy for TLS from the start or inside the handshake.
        headers: What a websocket's request carries besides its own, such as an authorisation.
        subprotocols: What to offer a websocket server; it must choose one of them, if there are any.
        allowed_networks: Networks (CIDR) that ``host`` must resolve into; empty for any.
        username: For handshakes that ask for one.
        secret: The console's password or ticket; revealed to the server alone, after its
            certificate was checked.
        moves: Whether a server that ends the connection in order usually means that the console is
            somewhere else now, where ``open`` finds it: the viewer then comes back by itself.
        exclusive: Whether the server has one viewer at a time, and ends the connection of the one before when
            the next comes. A viewer whose connection the server ends then asks its user before it comes back,
            or two would take the console from each other without end. Stronger than ``moves``.
    """

    transport: Transport = Transport.TCP
    host: str = ""
    port: int = 0
    path: str = ""
    tls: TlsPolicy = attrs.field(factory=TlsPolicy)
    headers: tuple[tuple[str, Secret], ...] = ()
    subprotocols: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    username: str = ""
    secret: Secret | None = None
    moves: bool = False
    exclusive: bool = False

    @property
    def address(self) -> str:
        """For people and logs: ``host:port``, ``[v6]:port`` or ``unix:/path``."""
        if self.transport is Transport.UNIX:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen(kw_only=True)
class Target:
    """A console's place as somebody else has named it, such as Nova; a provider makes an endpoint of it.

    Attributes:
        host: Name or address of the hypervisor.
        port: TCP port.
        access: What the hypervisor wants to be told, in its own words: a path, a ticket; may be secret.
    """

    host: str
    port: int
    access: Secret | None = None


@attrs.frozen(kw_only=True)
class Grant:
    """What a token stands for. Usually without a target: the provider opens a fresh console at connect.

    Attributes:
        id: Public name of the grant; opens nothing by itself.
        request: The validated wish.
        provider: Name of the configured provider that said it knows the server.
        issued_at: Epoch seconds.
        expires_at: Epoch seconds; the token is dead *at* this instant, alive before it.
        session_seconds: The longest that a session of this grant may live.
        target: Set where the validator's own source has named the place; such a grant is never stored.
    """

    id: str
    request: ConsoleRequest
    provider: str
    issued_at: float
    expires_at: float
    session_seconds: float
    target: Target | None = None


@attrs.frozen(kw_only=True)
class SessionInfo:
    """The redacted view of a live or ended session: for hooks, logs, lists. Holds no secret.

    Attributes:
        id: Public name of the session; opens nothing.
        grant_id: The grant it lives on.
        key: The pair.
        server_id: Which server.
        subject: For whom.
        address: The viewer's address.
        started_at: Epoch seconds.
        issued_at: When its grant was issued (a revocation cuts what was issued before it).
        mode: Whether the viewer may do something there, or only look.
        bytes_in: From the viewer, payload.
        bytes_out: To the viewer, payload.
        ended_at: Epoch seconds, None while it lives.
        reason: Why it ended (a code of ``proxy.closecodes`` or ``core.errors``); empty while it lives.
    """

    id: str
    grant_id: str
    key: ConsoleKey
    server_id: str
    subject: str
    address: str
    started_at: float
    issued_at: float
    mode: Mode = Mode.INTERACT
    bytes_in: int = 0
    bytes_out: int = 0
    ended_at: float | None = None
    reason: str = ""


class Action(enum.Enum):
    """What a caller of the API wants to do; ``consolekit_permit`` hooks decide by it."""

    CREATE = "console.create"
    OFFERS = "console.offers"
    CONNECT_INFO = "console.connect_info"
    REVOKE = "grant.revoke"
    LIST = "session.list"
    KILL = "session.kill"


@attrs.frozen(kw_only=True)
class Caller:
    """Who asks for consoles (not who views them).

    Attributes:
        name: Name of the API key, or what an integrator calls its user.
        servers: Shell patterns of server ids that the caller may ask for.
        subjects: Shell patterns of subjects that the caller may ask for.
        modes: The modes that the caller may ask for.
        see_secrets: Whether it may see what opens something at a hypervisor itself.
    """

    name: str
    servers: tuple[str, ...] = ("*",)
    subjects: tuple[str, ...] = ("*",)
    modes: tuple[Mode, ...] = tuple(Mode)
    see_secrets: bool = False


class Scope(enum.Enum):
    """What a revocation names."""

    GRANT = "grant"
    SESSION = "session"
    SERVER = "server"
    SUBJECT = "subject"


@attrs.frozen(kw_only=True)
class Revocation:
    """An order: whatever this names, issued up to this instant, ends now.

    Attributes:
        scope: What ``value`` is.
        value: A grant id, session id, server id or subject.
        at: Epoch seconds. What is issued later is not touched.
    """

    scope: Scope
    value: str
    at: float

    def cuts(self, session: SessionInfo) -> bool:
        """True if this ends the session."""
        named = {
            Scope.GRANT: session.grant_id,
            Scope.SESSION: session.id,
            Scope.SERVER: session.server_id,
            Scope.SUBJECT: session.subject,
        }[self.scope]
        return named == self.value and session.issued_at <= self.at

    def kills(self, grant: Grant) -> bool:
        """True if this takes the grant away."""
        named = {
            Scope.GRANT: grant.id,
            Scope.SERVER: grant.request.server_id,
            Scope.SUBJECT: grant.request.subject,
        }.get(self.scope)
        return named == self.value and grant.issued_at <= self.at
