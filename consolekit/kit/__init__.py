"""Kit: the embedder's facade. Knows core, tokens and providers; knows no HTTP server."""

from consolekit.kit.blocking import BlockingConsoleKit
from consolekit.kit.kit import ConsoleKit
from consolekit.kit.links import ConsoleLink, KitSettings, Offer

__all__ = ["BlockingConsoleKit", "ConsoleKit", "ConsoleLink", "KitSettings", "Offer"]
