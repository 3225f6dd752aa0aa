"""Proxy: from a browser's websocket to the console's server. Knows tornado; knows no hypervisor, no API.

The way of one session through the files::

    handler     the request: upgrade, origin, token; decides, then answers 101 and lets go of tornado
    session     the life: redeem, open, handshake, relay, end; audit
    console     the grant's console at its provider: asked for, reached, given back
    connect     an endpoint becomes a channel (tls: by which certificate)
    shake       carries a handshake script's bytes (upstream: agrees on a websocket with the server)
    viewer      the browser's side between the 101 and the relay
    relay       the bytes, before a byte stream (frames: RFC 6455)
    tunnel      the bytes, before another websocket (tracker: where its frames end)
    pump        what these two share (side, liveness; wheel: one timer for all)
    sessions    all of them: limits, revocations, the list that other processes see
    closecodes  why sessions end, as numbers and words
    pages       the viewer page and its files
    health, metrics, app    probes, figures, wiring
"""
