"""Core: the whole error tree. Knows no transport; knows which HTTP status fits, as a number.

::

    ConsoleKitError
    |- ConfigError                 wrong configuration: every problem with its place
    |- ListenFailed                an address to listen on cannot be had
    |- UpgradeRequired             a plain request where a websocket handshake is due
    |- RequestError
    |  |- MalformedRequest         its bytes are not what they say (JSON, query)
    |  |- InvalidRequest           the request breaks the schema
    |  |- UnsupportedConsole       no such <protocol, type> pair here
    |  |- BadUpgrade               a websocket handshake, and a wrong one
    |- PluginError
    |  |- PluginNotFound, PluginLoadFailed, DuplicatePlugin, IncompatiblePlugin
    |- AccessError
    |  |- TokenRefused             missing, malformed, unknown, used, expired, revoked: one answer
    |  |- CallerRefused            an API caller without a valid key
    |  |- OriginRefused, PermitRefused
    |  |- LimitReached             the one refusal that says what it is
    |- StoreUnavailable            tokens can be neither given nor checked: fail closed
    |- NotFound                    a grant or session that is not there
    |- Draining                    this process takes no new sessions
    |- ProviderError
    |  |- UnknownServer            -> ServerGone
    |  |- ConsoleConflict          -> AmbiguousServer, ServerPoweredOff, ServerSuspended, ServerBusy
    |  |- ConsoleUnavailable       the server is known; its console cannot be had now
    |  |  |- ServerInaccessible, HostUnavailable -> HostInMaintenance
    |  |  |- ConsoleLimitReached, ConsoleNotSupported
    |  |  |- HypervisorUnavailable -> HypervisorTimeout
    |  |  |- HypervisorNotTrusted, HypervisorLoginFailed, HypervisorPermission
    |  |  |- HypervisorProtocol, HypervisorFault
    |  |- ConsoleNotImplemented
    |- PeerError                   while talking to the console's server (or its viewer)
       |- ConnectFailed, ConnectTimeout, EndpointRefused
       |- CertificateRefused, HostnameMismatch
       |- HandshakeError -> NoCommonSecurity, AuthenticationRejected, TicketRefused, UpstreamRefused,
                            PeerClosed, HandshakeTimeout
       |- ViewerRefused             it sent what its console does not let through

``str(error)`` is always safe to log: no class puts a secret or a token in its text. ``code`` is a stable slug
(metric label, log key, problem type); ``title`` is for anybody outside, ``status`` fits if it reaches HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from consolekit.core.consoleerrors import (
    AmbiguousServer,
    AuthenticationRejected,
    CertificateRefused,
    ConnectFailed,
    ConnectTimeout,
    ConsoleConflict,
    ConsoleLimitReached,
    ConsoleNotImplemented,
    ConsoleNotSupported,
    ConsoleUnavailable,
    EndpointRefused,
    HandshakeError,
    HandshakeTimeout,
    HostInMaintenance,
    HostnameMismatch,
    HostUnavailable,
    HypervisorFault,
    HypervisorLoginFailed,
    HypervisorNotTrusted,
    HypervisorPermission,
    HypervisorProtocol,
    HypervisorTimeout,
    HypervisorUnavailable,
    NoCommonSecurity,
    PeerClosed,
    PeerError,
    ProviderError,
    ServerBusy,
    ServerGone,
    ServerInaccessible,
    ServerPoweredOff,
    ServerSuspended,
    TicketRefused,
    UnknownServer,
    UpstreamRefused,
    ViewerRefused,
)
from consolekit.core.rooterror import ConsoleKitError

__all__ = [
    "AccessError",
    "AmbiguousServer",
    "AuthenticationRejected",
    "BadUpgrade",
    "CallerRefused",
    "CertificateRefused",
    "ConfigError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConsoleConflict",
    "ConsoleKitError",
    "ConsoleLimitReached",
    "ConsoleNotImplemented",
    "ConsoleNotSupported",
    "ConsoleUnavailable",
    "Draining",
    "DuplicatePlugin",
    "EndpointRefused",
    "HandshakeError",
    "HandshakeTimeout",
    "HostInMaintenance",
    "HostUnavailable",
    "HostnameMismatch",
    "HypervisorFault",
    "HypervisorLoginFailed",
    "HypervisorNotTrusted",
    "HypervisorPermission",
    "HypervisorProtocol",
    "HypervisorTimeout",
    "HypervisorUnavailable",
    "IncompatiblePlugin",
    "InvalidRequest",
    "LimitReached",
    "ListenFailed",
    "MalformedRequest",
    "NoCommonSecurity",
    "NotFound",
    "OriginRefused",
    "PeerClosed",
    "PeerError",
    "PermitRefused",
    "PluginError",
    "PluginLoadFailed",
    "PluginNotFound",
    "Problem",
    "ProviderError",
    "RequestError",
    "ServerBusy",
    "ServerGone",
    "ServerInaccessible",
    "ServerPoweredOff",
    "ServerSuspended",
    "StoreUnavailable",
    "TicketRefused",
    "TokenRefused",
    "UnknownServer",
    "UnsupportedConsole",
    "UpgradeRequired",
    "UpstreamRefused",
    "ViewerRefused",
    "every_error",
]

_MODULES = tuple(f"consolekit.core.{name}" for name in ("rooterror", "errors", "consoleerrors"))


@attrs.frozen
class Problem:
    """One thing that is wrong in outside data, and where.

    Attributes:
        path: Where it is: a dotted path such as ``providers.lab.servers.web-1.address``.
        message: What is wrong and what would be right. Never quotes the value.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class _ProblemList(ConsoleKitError):
    """Shared by the two errors that carry every problem at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))

    @property
    def public_detail(self) -> str:
        """The problems; they name paths and rules, never values."""
        return str(self)


class ConfigError(_ProblemList):
    """The configuration is wrong; lists every problem, not only the first."""

    code = "config_invalid"
    title = "The configuration is wrong."


class ListenFailed(ConsoleKitError):
    """An address to listen on cannot be had."""

    code = "listen_failed"


class UpgradeRequired(ConsoleKitError):
    """The request is no websocket handshake of version 13 (RFC 6455, 4.4)."""

    code = "upgrade_required"
    status = 426
    title = "This address speaks websocket, version 13."


class RequestError(ConsoleKitError, ValueError):
    """What was asked cannot be meant."""

    code = "bad_request"
    status = 400
    title = "The request cannot be understood."


class MalformedRequest(RequestError):
    """What was sent is not well-formed, whatever it was meant to say. The text never quotes it."""

    code = "malformed_request"
    title = "The request is not well-formed."

    @property
    def public_detail(self) -> str:
        """What is wrong with its form."""
        return str(self)


class InvalidRequest(_ProblemList, RequestError):
    """The request breaks the schema; lists every problem with its JSON path."""

    code = "invalid_request"
    status = 422
    title = "The request does not match the console schema."


class UnsupportedConsole(RequestError):
    """The pair is not registered here; says which pairs are."""

    key: str
    known: tuple[str, ...]
    reason: str

    code = "unsupported_console"
    status = 422
    title = "This <protocol, type> pair is not offered here."

    def __init__(self, key: str, known: Sequence[str], reason: str = "") -> None:
        self.key, self.known, self.reason = key, tuple(known), reason
        pairs = ", ".join(self.known) or "none"
        super().__init__(
            f"console {key} is not offered{f' ({reason})' if reason else ''}; valid pairs: {pairs}"
        )

    @property
    def public_detail(self) -> str:
        """The pairs that would be valid."""
        return str(self)


class BadUpgrade(RequestError):
    """The request is a websocket handshake, and a wrong one (RFC 6455, 4.2.1)."""

    code = "bad_upgrade"
    title = "The websocket handshake is wrong."


class PluginError(ConsoleKitError):
    """A plug-in cannot be used; says which, why and the cure."""

    cure: str
    group: str
    name: str
    reason: str

    code = "plugin_error"

    def __init__(self, group: str, name: str, reason: str, cure: str = "") -> None:
        self.group, self.name, self.reason, self.cure = group, name, reason, cure
        super().__init__(f"plug-in {name!r} of {group}: {reason}" + (f" ({cure})" if cure else ""))


class PluginNotFound(PluginError):
    """No installed distribution offers this name."""

    code = "plugin_not_found"


class PluginLoadFailed(PluginError):
    """Importing the plug-in raised, or it is not what its group demands."""

    code = "plugin_load_failed"


class DuplicatePlugin(PluginError):
    """Two distributions claim one name; choosing silently would be a way in."""

    code = "plugin_duplicate"


class IncompatiblePlugin(PluginError):
    """The plug-in speaks another version of the contract."""

    code = "plugin_incompatible"


class AccessError(ConsoleKitError, PermissionError):
    """Not allowed. Every kind but LimitReached looks the same from outside its HTTP status."""

    code = "access_refused"
    status = 403
    title = "Access to this console is refused."


class TokenRefused(AccessError):
    """The token opens nothing. ``why`` is for the log alone: outside all kinds look the same."""

    code = "token_refused"
    status = 401
    title = "This console link is not valid (any more). Ask for a new one."

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"token refused: {why}")


class CallerRefused(AccessError):
    """The API caller showed no valid key."""

    code = "caller_refused"
    status = 401
    title = "A valid API key is needed: Authorization: Bearer <key>."


class OriginRefused(AccessError):
    """The page that opened the websocket is not one of ours."""

    code = "origin_refused"
    title = "This page may not open consoles here."


class PermitRefused(AccessError):
    """A ``consolekit_permit`` hook refused."""

    code = "permit_refused"


class LimitReached(AccessError):
    """A limit of this site is reached; trying again later may help."""

    allowed: int
    limit: str

    code = "limit_reached"
    status = 429
    title = "Too many console sessions are open."

    def __init__(self, limit: str, allowed: int) -> None:
        self.limit, self.allowed = limit, allowed
        super().__init__(f"limit {limit} of {allowed} reached")

    @property
    def public_detail(self) -> str:
        """Which limit."""
        return str(self)


class StoreUnavailable(ConsoleKitError):
    """The token store did not answer in time; nothing was decided, so nothing is opened."""

    code = "store_unavailable"
    status = 503
    title = "Consoles cannot be opened right now. Try again in a few seconds."


class Draining(ConsoleKitError):
    """The process is going away and takes no new sessions."""

    code = "draining"
    status = 503
    title = "This gateway is being restarted. Try again in a few seconds."


class NotFound(ConsoleKitError):
    """What was named (a grant, a session) is not there (any more)."""

    code = "not_found"
    status = 404
    title = "There is no such thing here."


def every_error() -> dict[str, type[ConsoleKitError]]:
    """All error classes by ``code``: for docs, metrics labels and stored outcomes."""
    found: dict[str, type[ConsoleKitError]] = {}
    queue: list[type[ConsoleKitError]] = [ConsoleKitError]
    while queue:
        cls = queue.pop(0)
        queue.extend(cls.__subclasses__())
        if cls.__module__ in _MODULES and not cls.__name__.startswith("_"):
            found[cls.code] = cls
    return found
