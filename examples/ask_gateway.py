"""Example: ask a gateway's API for a console, and end what is open, from a script or another portal.

The key comes from the environment, never from the command line, which others can see::

    pip install 'consolekit[client]'
    CONSOLEKIT_API_KEY=cka_... python examples/ask_gateway.py https://consoles.example.org/api web-1
"""

from __future__ import annotations

import asyncio
import os
import sys

# [blocking]
from consolekit import Secret
from consolekit.client import ApiProblem, ApiUnreachable, AsyncConsoleClient, ConsoleClient
from consolekit.core.errors import ConsoleConflict, UnknownServer


def link_to(gateway: ConsoleClient, server_id: str, user: str) -> str:
    """Where to send this user's browser, or what to tell the user instead."""
    try:
        return gateway.create(server_id, subject=user).url.reveal()
    except UnknownServer:
        return "There is no such server."
    except ConsoleConflict as error:  # powered off, suspended, being moved
        return error.title
    except ApiProblem as error:  # everything else that the gateway refuses
        later = f" Try again in {error.retry_after:.0f} seconds." if error.retry_after else ""
        return f"{error.title}{later}"
    except ApiUnreachable:
        return "The gateway does not answer."


# [awaited]
async def end_all(gateway: AsyncConsoleClient, server_id: str) -> int:
    """End what is open of a server, such as before it is deleted."""
    live = await gateway.sessions(server_id)
    for session in live:
        await gateway.kill(session.id)
    return len(live)


# [main]
def main(url: str, server_id: str) -> None:
    """Print a link, then end what is open."""
    key = Secret(os.environ["CONSOLEKIT_API_KEY"])
    with ConsoleClient(url, key) as gateway:
        print(link_to(gateway, server_id, "alice"))

    async def end() -> int:
        async with AsyncConsoleClient(url, key) as gateway:
            return await end_all(gateway, server_id)

    print(f"{asyncio.run(end())} sessions ended")


if __name__ == "__main__":
    main(*sys.argv[1:])
