"""Remote consoles of virtual machines in the browser: schema, providers, tokens, one proxy.

The public names of the framework. Importing this imports no tornado, no hypervisor SDK and no plug-in;
what runs a server is in ``consolekit.proxy`` and ``consolekit.api``.
"""

from consolekit.__about__ import __version__
from consolekit.auth.base import AccessContext, TokenIssuer, TokenStore, TokenValidator
from consolekit.core.errors import ConsoleKitError
from consolekit.core.handshake import CLIENT, SERVER, Handshake, Script, peek, read, send, start_tls
from consolekit.core.hooks import Hooks, hookimpl
from consolekit.core.provider import ConsoleProvider, ViewerFilter
from consolekit.core.registry import ProviderRegistry
from consolekit.core.schema import ConsoleSchema
from consolekit.core.shared import Shared
from consolekit.core.types import (
    Action,
    Caller,
    Clock,
    ConsoleKey,
    ConsoleRequest,
    Endpoint,
    Grant,
    Mode,
    Revocation,
    Scope,
    Secret,
    SessionInfo,
    Target,
    TlsPolicy,
    Transport,
)
from consolekit.kit import BlockingConsoleKit, ConsoleKit, ConsoleLink, KitSettings, Offer

__all__ = [
    "CLIENT",
    "SERVER",
    "AccessContext",
    "Action",
    "BlockingConsoleKit",
    "Caller",
    "Clock",
    "ConsoleKey",
    "ConsoleKit",
    "ConsoleKitError",
    "ConsoleLink",
    "ConsoleProvider",
    "ConsoleRequest",
    "ConsoleSchema",
    "Endpoint",
    "Grant",
    "Handshake",
    "Hooks",
    "KitSettings",
    "Mode",
    "Offer",
    "ProviderRegistry",
    "Revocation",
    "Scope",
    "Script",
    "Secret",
    "SessionInfo",
    "Shared",
    "Target",
    "TlsPolicy",
    "TokenIssuer",
    "TokenStore",
    "TokenValidator",
    "Transport",
    "ViewerFilter",
    "__version__",
    "hookimpl",
    "peek",
    "read",
    "send",
    "start_tls",
]
