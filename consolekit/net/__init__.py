"""Net: sockets under both HTTP faces. Knows tornado's streams; knows no console, no token, no page.

What is where::

    channels    plain and TLS sockets behind one small non-blocking shape
    stream      tornado's stream over a channel, which can let go of it
    listener    accepts, limits what has shown nothing yet, survives a lack of descriptors
"""
