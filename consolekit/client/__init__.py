"""Client: the REST API of a gateway, for programs in Python; extra ``client``. Of the rest it knows ``core``.

``ConsoleClient`` blocks, ``AsyncConsoleClient`` is awaited. Both send what ``operations`` says; what comes
back is read in one place (``answers``, ``problems``), which knows no HTTP library.
"""

from consolekit.client.answers import ConnectInfo, Console, Offer, Redeemed, Session
from consolekit.client.clients import AsyncConsoleClient, ConsoleClient
from consolekit.client.problems import ApiProblem, ApiUnreachable, UnexpectedAnswer

__all__ = [
    "ApiProblem",
    "ApiUnreachable",
    "AsyncConsoleClient",
    "ConnectInfo",
    "Console",
    "ConsoleClient",
    "Offer",
    "Redeemed",
    "Session",
    "UnexpectedAnswer",
]
