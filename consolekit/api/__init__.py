"""API: the REST face of a kit. Knows tornado and the kit; knows no proxy and no configuration file.

What is where::

    app          routes and settings: ``make_api``
    handler      what every operation does alike: size, host, method, origin, query, caller
    handlers     the operations
    bodies       JSON of strangers, read strictly
    callers      who asks: bearer keys, kept as hashes
    policy       what a caller may ask for: the ``consolekit_permit`` hook of the API keys
    description  openapi.yaml, with this site's pairs in it
"""

from consolekit.api.app import make_api
from consolekit.api.callers import Callers, KeyEntry
from consolekit.api.policy import KeyScope

__all__ = ["Callers", "KeyEntry", "KeyScope", "make_api"]
