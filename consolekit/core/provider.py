"""Core: the contract between consolekit and a hypervisor's provider.

A provider is found through the entry-point group ``consolekit.providers``, named and configured by
an operator's ``[providers.NAME]`` table (``use`` names the entry point), or passed in by an integrator.
It knows its hypervisor and nothing of HTTP, tokens or browsers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from consolekit.core.errors import ConsoleNotImplemented, ProviderError
from consolekit.core.handshake import Script
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Mode, Secret, Target, Transport

API_VERSION = 1
"""The contract this package speaks; a provider with another ``api_version`` is not loaded."""

NOTHING: Mapping[str, Any] = {"type": "object", "additionalProperties": False}
"""A JSON Schema (2020-12) that accepts the empty object only."""


class ViewerFilter(Protocol):
    """Reads what one viewer sends to one server behind the handshake, as it comes; sans-I/O.

    It may not wait for more than a header: what it holds back, and what a viewer announces, must be
    bounded.

    Attributes:
        inputs: How much the viewer has really put in so far: keys, clicks, movements, pasted text. Any
            measure that grows with each; what a program sends by itself (requests for pictures, answers to
            pings) does not count.
    """

    @property
    def inputs(self) -> int:
        """As above."""

    def feed(self, data: bytes) -> bytes:
        """Take what the viewer sent; give what may go on to the server, in order.

        Args:
            data: Any part of the viewer's stream; never empty.

        Raises:
            ViewerRefused: the viewer sent what cannot be let through, nor safely left out; its session
                ends. Nothing of ``data`` goes on.
        """


class ConsoleProvider(ABC):
    """Gives consoles of one hypervisor or protocol. Two members are required: ``keys``, ``open``.

    Attributes:
        api_version: The contract's version the provider was written for.
        keys: The pairs it offers.
        refused_keys: Pairs it knows and deliberately does not offer, each with the reason and what
            to use instead; asking for one is ``ConsoleNotImplemented``, not "unknown".
        modes: What viewers may ask for. With ``Mode.VIEW`` among them ``viewer_filter`` must give a filter
            for it; without, a view-only link is refused when it is to be made.
        many_channels: Whether a viewer opens several connections on one token, as SPICE does for its
            channels. Then the same viewer's next does not end its older ones.
        params_schema: JSON Schema (2020-12) of ``ConsoleRequest.params``; default: nothing.
        config_schema: JSON Schema of the operator's ``[providers.NAME]`` table without ``use``.
    """

    api_version: ClassVar[int] = API_VERSION
    keys: ClassVar[tuple[ConsoleKey, ...]] = ()
    refused_keys: ClassVar[Mapping[ConsoleKey, str]] = {}
    modes: ClassVar[tuple[Mode, ...]] = (Mode.INTERACT,)
    many_channels: ClassVar[bool] = False
    params_schema: ClassVar[Mapping[str, Any]] = NOTHING
    config_schema: ClassVar[Mapping[str, Any]] = NOTHING

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        """Build from the operator's table, which ``config_schema`` has already accepted.

        The default passes the table's keys on as arguments.

        Args:
            config: The table as plain data; relative paths in it are already absolute.
            shared: For what several providers of one kit use together; let go of it in ``aclose``.

        Raises:
            ConfigError: a value is wrong in a way that no schema can say; its problems' paths begin at
                the table: ``ConfigError([Problem(path="server", message="has a port that is none")])``.
        """
        return cls(**config)

    async def check(self, request: ConsoleRequest) -> None:
        """Say early, when the URL is made, that a console cannot be had. Default: say nothing.

        Opens nothing and takes no ticket. Cancelled after ``KitSettings.check_seconds``, as are ``open``,
        ``adopt`` and ``connect_info``; then the viewer reads ``console_unavailable``.

        Raises:
            UnknownServer: the provider does not know the server; the next provider is asked.
            ConsoleConflict: the server's state allows no console.
            ConsoleUnavailable: it cannot be had now.
        """

    @abstractmethod
    async def open(self, request: ConsoleRequest) -> Endpoint:
        """Give a fresh console, with a fresh ticket where there is one; called when the browser connects.

        Raises:
            UnknownServer: the server is gone.
            ConsoleConflict: its state allows no console.
            ConsoleUnavailable: it cannot be had now.
        """

    async def adopt(self, request: ConsoleRequest, target: Target) -> Endpoint:
        """Make an endpoint of a place that somebody else has named; in ``open``'s stead. Default: refuse.

        Args:
            request: As for ``open``.
            target: What the grant's validator has found, for example in Nova. It comes from a trusted
                service, and is still outside data: check it before it is used.

        Raises:
            ConsoleNotImplemented: this provider knows its servers itself.
            ConsoleUnavailable: the target cannot be one of this provider's consoles.
        """
        raise ConsoleNotImplemented("this provider takes no consoles that others have named")

    def named(self, endpoint: Endpoint) -> Target:
        """Name an endpoint to somebody else who will connect in our stead; the inverse of ``adopt``.

        Default: host, port, and the path of a websocket.

        Raises:
            ConsoleNotImplemented: it cannot be reached from elsewhere.
        """
        if endpoint.transport is Transport.UNIX:
            raise ConsoleNotImplemented("a unix socket cannot be reached from elsewhere")
        if endpoint.headers:
            raise ConsoleNotImplemented("its server wants headers, and only the gateway can send them")
        access = None
        if endpoint.transport in (Transport.WS, Transport.WSS):
            secret = endpoint.secret.reveal() if endpoint.secret else ""
            access = Secret(endpoint.path.replace("{secret}", secret))
        return Target(host=endpoint.host, port=endpoint.port, access=access)

    def handshake(self, endpoint: Endpoint) -> Script | None:
        """The script to play before bytes are relayed. Default None: relay from the first byte."""
        return None

    def refused(self, endpoint: Endpoint, status: int) -> ProviderError | None:
        """Say what it means that a websocket server answered with another HTTP status than 101.

        Where ``endpoint.secret`` is set and the status is 401, 403, 404 or 410, the console is opened afresh
        once before anybody asks. Default None: ``UpstreamRefused``, or in that case ``TicketRefused``.

        Args:
            endpoint: What ``open`` or ``adopt`` gave.
            status: The HTTP status.

        Returns:
            The error of the exact kind, such as ``HypervisorPermission``; None: nothing better is known.
        """
        return None

    def viewer_filter(self, endpoint: Endpoint, mode: Mode) -> ViewerFilter | None:
        """What a viewer's bytes go through, from the first one behind the handshake script.

        Asked where the mode is VIEW, or where an idle limit must tell input from chatter. Default None:
        bytes pass as they are, and each of them counts as input.

        Args:
            endpoint: What ``open`` or ``adopt`` gave. Where the provider has several pairs, it tells which
                this is: by its path, or by a subclass.
            mode: What the viewer may do. In mode INTERACT the filter must pass every byte at once and
                unchanged; it only counts.
        """
        return None

    async def connect_info(self, request: ConsoleRequest) -> Mapping[str, object]:
        """What a program of an integrator needs to connect by itself, where a hypervisor has such a way.

        Its members are the hypervisor's own words; those that open something are ``Secret``. Default: there
        is none.

        Raises:
            UnknownServer: the provider does not know the server; the next provider is asked.
            ConsoleConflict: the server's state allows no console.
            ConsoleUnavailable: it cannot be had now.
            ConsoleNotImplemented: there is no such way.
        """
        raise ConsoleNotImplemented(f"console {request.key} is opened through its link only")

    async def close(self, endpoint: Endpoint) -> None:
        """The session on this endpoint has ended, in whatever way. Default: nothing to give back."""

    async def aclose(self) -> None:
        """The provider itself ends; give back logins and pools. Default: nothing."""
