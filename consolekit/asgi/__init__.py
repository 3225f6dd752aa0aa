"""ASGI: consoles inside an ASGI application of your own (FastAPI, Starlette, Channels), on its own server.

Knows the proxy, and no web framework: neither tornado nor any of those. An ASGI server keeps the socket, so
the bytes of a console make two more hops here than behind our own listener: see ``bridge``.
"""

from consolekit.asgi.app import AsgiConsoles
from consolekit.proxy.engine import ProxySettings

__all__ = ["AsgiConsoles", "ProxySettings"]
