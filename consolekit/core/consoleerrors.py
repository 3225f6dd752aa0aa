"""Core: the branches of the error tree that say why a server's console cannot be had.

What its provider found (``ProviderError``), and what happened while talking to its server
(``PeerError``). Knows no transport and no hypervisor. Import from ``consolekit.core.errors``.
"""

from __future__ import annotations

from consolekit.core.rooterror import ConsoleKitError


class ProviderError(ConsoleKitError):
    """A provider could not give the console."""

    code = "provider_error"
    status = 503
    title = "The console's provider could not open it."


class UnknownServer(ProviderError):
    """No provider knows this server, or it may not be known to the caller."""

    code = "unknown_server"
    status = 404
    title = "There is no such server, or it has no console of this kind."


class ConsoleUnavailable(ProviderError):
    """The server exists; its console cannot be had now. ``retryable`` says if later may help."""

    reason: str
    retryable: bool

    code = "console_unavailable"
    title = "The server's console is not available at the moment."

    def __init__(self, reason: str, *, retryable: bool = True) -> None:
        self.reason, self.retryable = reason, retryable
        super().__init__(reason)


class ConsoleConflict(ProviderError):
    """The server's state does not allow a console (powered off, being moved, ambiguous)."""

    code = "console_conflict"
    status = 409
    title = "The server is in a state that allows no console."


class AmbiguousServer(ConsoleConflict):
    """More than one server carries this id; showing either would be a guess."""

    code = "ambiguous_server"
    title = "More than one server has this id, so none of them is shown."


class ServerPoweredOff(ConsoleConflict):
    """It is off; a screen comes with power."""

    code = "server_powered_off"
    title = "The server is powered off."


class ServerSuspended(ConsoleConflict):
    """It is suspended; there is a console again when it is resumed."""

    code = "server_suspended"
    title = "The server is suspended."


class ServerBusy(ConsoleConflict):
    """Another operation holds it (a migration, a snapshot)."""

    code = "server_busy"
    title = "The server is busy with another operation. Try again in a few seconds."


class ServerInaccessible(ConsoleUnavailable):
    """Its hypervisor has lost it: its files or its registration are gone."""

    code = "server_inaccessible"
    title = "The server is known, but its files cannot be reached at the moment."


class HostUnavailable(ConsoleUnavailable):
    """The host that runs the server is disconnected or does not respond."""

    code = "host_unavailable"
    title = "The host that runs this server is not connected at the moment."


class HostInMaintenance(HostUnavailable):
    """The host that runs the server is in maintenance."""

    code = "host_in_maintenance"
    title = "The host that runs this server is in maintenance."


class ConsoleLimitReached(ConsoleUnavailable):
    """The hypervisor's own limit of viewers of this server is reached."""

    code = "console_limit_reached"
    status = 429
    title = "As many viewers as the server allows are connected to it already."


class ConsoleNotSupported(ConsoleUnavailable):
    """The server, its host or its version offers no console of this kind."""

    code = "console_not_supported"
    status = 501
    title = "The server's host does not offer this kind of console."


class HypervisorUnavailable(ConsoleUnavailable):
    """The hypervisor's API cannot be reached, restarts, or answers that it is unavailable."""

    code = "hypervisor_unavailable"
    title = "The virtualization platform does not answer at the moment. Try again in a minute."


class HypervisorTimeout(HypervisorUnavailable):
    """The hypervisor's API did not answer within the deadline."""

    code = "hypervisor_timeout"
    status = 504
    title = "The virtualization platform did not answer in time. Try again in a minute."


class HypervisorNotTrusted(ConsoleUnavailable):
    """The API's certificate is not the expected one; no password was sent."""

    code = "hypervisor_not_trusted"
    status = 502
    title = "The virtualization platform did not prove its identity to the gateway."


class HypervisorLoginFailed(ConsoleUnavailable):
    """The hypervisor refuses the gateway's own account."""

    code = "hypervisor_login_failed"
    title = "The gateway cannot log in to the virtualization platform. Its operator must help."


class HypervisorPermission(ConsoleUnavailable):
    """The gateway's own account lacks a privilege on this server."""

    code = "hypervisor_permission"
    title = "The gateway may not open this server's console. Its operator must help."


class HypervisorProtocol(ConsoleUnavailable):
    """The API answered something that is not its protocol, such as a page of HTML."""

    code = "hypervisor_protocol"
    status = 502
    title = "The virtualization platform answered something that is not its API."


class HypervisorFault(ConsoleUnavailable):
    """The API reported a fault that says nothing of the server's state."""

    code = "hypervisor_fault"
    status = 502
    title = "The virtualization platform reported a fault of its own."


class ServerGone(UnknownServer):
    """It was there a moment ago."""

    code = "server_gone"
    title = "The server is gone: it was deleted, or it moved to another platform."


class ConsoleNotImplemented(ProviderError):
    """The pair is known and deliberately not built; the reason says what to use instead."""

    code = "console_not_implemented"
    status = 501
    title = "This kind of console is known and not implemented."

    @property
    def public_detail(self) -> str:
        """What to use instead."""
        return str(self)


class PeerError(ConsoleKitError):
    """Talking to the console's server failed."""

    code = "peer_error"
    status = 502
    title = "The console's server did not behave as a console."


class ConnectFailed(PeerError):
    """Refused, unreachable, name unknown, socket missing."""

    code = "connect_failed"
    title = "The console's server cannot be reached."


class EndpointRefused(PeerError):
    """Nothing is sent there: its addresses are outside the allowed networks, or it cannot be asked for."""

    code = "endpoint_refused"
    title = "The gateway does not connect to the console's server at the address it has."


class ConnectTimeout(PeerError):
    """No answer to the connection attempt within the deadline."""

    code = "connect_timeout"
    status = 504
    title = "The console's server does not answer."


class CertificateRefused(PeerError):
    """The server's certificate is not signed by the expected CA, expired, or not the pinned one."""

    code = "certificate_refused"
    title = "The console server's certificate is not trusted."


class HostnameMismatch(CertificateRefused):
    """The certificate is trusted, but for another host name."""

    code = "hostname_mismatch"
    title = "The console server's certificate is for another host."


class HandshakeError(PeerError):
    """The peer broke the protocol of its handshake."""

    code = "handshake_failed"


class ViewerRefused(PeerError):
    """The viewer sent what its console does not let through; the text says what, never quotes it."""

    code = "viewer_refused"
    title = "The viewer sent what this console does not let through."


class NoCommonSecurity(HandshakeError):
    """The server offers no security type that the policy allows."""

    code = "no_common_security"
    title = "The console's server offers no security type that is allowed here."


class AuthenticationRejected(HandshakeError):
    """The server refused the stored password."""

    code = "authentication_rejected"
    title = "The console's server refused the gateway's password."


class UpstreamRefused(HandshakeError):
    """The server answered the websocket's opening handshake with another HTTP status than 101."""

    answered: int = 0
    """That status; 0 where there was none."""

    code = "upstream_refused"
    title = "The console's server refused the connection."


class TicketRefused(HandshakeError):
    """The server does not accept the console's one-time ticket: used, expired, or not of this server."""

    answered: int = 0
    """The HTTP status that said so; 0 where it was said in another way."""

    code = "ticket_refused"
    title = "The console's server did not accept the gateway's ticket. Open the console again."


class PeerClosed(HandshakeError):
    """The peer closed in the middle of its handshake."""

    code = "peer_closed"
    title = "The console's server closed the connection."


class HandshakeTimeout(HandshakeError):
    """The handshake was not finished within its deadline."""

    code = "handshake_timeout"
    status = 504
    title = "The console's server did not finish its handshake in time."
