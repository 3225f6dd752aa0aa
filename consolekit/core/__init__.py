"""Core: the words, the schema, the contracts. Knows no I/O library, no provider, no server.

What is where::

    types       the nouns: ConsoleKey, ConsoleRequest, Endpoint, Grant, SessionInfo, Secret, Clock
    errors      the whole error tree
    schema      the <protocol, type> JSON Schema, composed from what is registered
    provider    ConsoleProvider, the contract with a hypervisor
    shared      what several providers use together
    registry    which providers are there
    handshake   sans-I/O scripts over two peers, and their driver
    plugins     entry points, by name, one policy for every failure
    hooks       who listens (hookspecs: to what)
"""
