"""HTTP: what the proxy's and the API's answers have in common. Knows tornado; knows no console.

What is where::

    problems    an error as problem+json (RFC 9457)
    handler     the base of every request handler: hosts, headers, refusals, no leaks
    application refuses bodies by their announced size
    accesslog   one line per request, without anything that may be a secret
"""
