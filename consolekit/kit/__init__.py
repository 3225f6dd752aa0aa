"""Kit: the embedder's facade. Knows core, tokens and providers; knows no HTTP server."""

from consolekit.kit.kit import ConsoleKit
from consolekit.kit.links import ConsoleLink, KitSettings, Offer

__all__ = ["ConsoleKit", "ConsoleLink", "KitSettings", "Offer"]
