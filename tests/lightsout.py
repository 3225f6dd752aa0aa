"""Test support: a hypervisor of nobody's, and a provider of it that is right in every way, if simple.

Importable as ``lightsout``. A connection carries one question and its answer, each a line of JSON. What was
answered to "open" is held until "give_back"; not so where the asker went away before it said "taken".
"""

from __future__ import annotations

import asyncio
import gc
import json
import secrets
from typing import Any, ClassVar

from consolekit import (
    CLIENT,
    SERVER,
    ConsoleKey,
    ConsoleProvider,
    Endpoint,
    Mode,
    Secret,
    Target,
    read,
    send,
)
from consolekit.core.errors import (
    AuthenticationRejected,
    ConfigError,
    ConsoleUnavailable,
    HypervisorLoginFailed,
    Problem,
    ServerPoweredOff,
    UnknownServer,
    ViewerRefused,
)
from consolekit.core.handshake import Send
from consolekit.testing import Arrives, ProviderContract, Said

PASSWORD = "c4n4ry-pa55word"
SERVERS = {"web-1": {"port": 7001, "on": True}, "web-2": {"port": 7002, "on": True}, "db-1": {"on": False}}


class Lights:
    """The hypervisor; an async context manager."""

    def __init__(self):
        self.tickets: dict[str, str] = {}
        self.connections = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.host, self.port = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()
        while self.connections:
            await asyncio.sleep(0.001)

    async def _answer(self, reader, writer):
        self.connections += 1
        try:
            question = json.loads(await reader.readline())
            answer = self._said(question)
            writer.write(json.dumps(answer).encode() + b"\n")
            if "ticket" in answer and await reader.readline() == b"taken\n":
                self.tickets[answer["ticket"]] = question["server"]
            await reader.read()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()
            self.connections -= 1

    def _said(self, question):
        if question.get("password") != PASSWORD:
            return {"error": "password"}
        if question["ask"] == "give_back":
            self.tickets.pop(question["ticket"], None)
            return {}
        server = SERVERS.get(question["server"])
        if server is None or not server["on"]:
            return {"error": "unknown" if server is None else "off"}
        if question["ask"] == "state":
            return {}
        return {"host": "192.0.2.9", "port": server["port"], "ticket": secrets.token_hex(12)}


class LightsOut(ConsoleProvider):
    """Right in every way."""

    keys = (ConsoleKey("serial", "lights-out"),)
    modes = tuple(Mode)
    params_schema: ClassVar = {
        "type": "object",
        "properties": {"line": {"type": "integer", "minimum": 0, "maximum": 3}},
        "additionalProperties": False,
    }
    config_schema: ClassVar = {
        "type": "object",
        "properties": {
            "address": {"type": "string", "pattern": "^[^:]+:[0-9]+$"},
            "password": {"type": "string", "minLength": 1},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["address", "password"],
        "additionalProperties": False,
    }

    def __init__(self, *, host: str, port: int, password: Secret) -> None:
        self._host, self._port, self._password = host, port, password

    @classmethod
    def from_config(cls, config, *, shared):
        host, _, port = config["address"].partition(":")
        if not 0 < int(port) < 65536:
            raise ConfigError([Problem("address", "has a port that is none")])
        return cls(host=host, port=int(port), password=Secret(config["password"]))

    async def check(self, request):
        await self.ask("state", request)

    async def open(self, request):
        told = await self.ask("open", request)
        return Endpoint(host=told["host"], port=told["port"], secret=Secret(told["ticket"]))

    async def close(self, endpoint):
        await self.ask("give_back", ticket=endpoint.secret.reveal())

    async def adopt(self, request, target):
        if target.host != "192.0.2.9" or not 0 < target.port < 65536 or target.access is not None:
            raise ConsoleUnavailable("that is no place of ours")
        return Endpoint(host=target.host, port=target.port)

    async def ask(self, what: str, request: Any = None, ticket: str = "") -> dict[str, Any]:
        """One question, on a connection of its own."""
        question = {"ask": what, "password": self._password.reveal(), "ticket": ticket}
        if request is not None:
            question |= {"server": request.server_id, **request.params}
        try:
            return self.told(await self.talk(question))
        except (OSError, ValueError) as exc:
            raise ConsoleUnavailable("lights-out management does not answer") from exc

    async def talk(self, question):
        """Send the question; the answer as it comes."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(json.dumps(question).encode() + b"\n")
            answer = json.loads(await reader.readline())
            if "ticket" in answer:
                writer.write(b"taken\n")
            return answer
        finally:
            writer.close()

    def told(self, answer):
        """The answer, or what is wrong."""
        match answer.get("error"):
            case None:
                return answer
            case "unknown":
                raise UnknownServer("lights-out management does not know it")
            case "off":
                raise ServerPoweredOff("it is off")
        raise HypervisorLoginFailed("lights-out management refused the password")

    def handshake(self, endpoint):
        return lights_script(endpoint.secret or Secret(""))

    def viewer_filter(self, endpoint, mode):
        return KeyFilter(mode)


def lights_script(ticket):
    yield from send(SERVER, b"TICKET " + ticket.reveal().encode() + b"\n")
    if await_ok := (yield from read(SERVER, 3)) != b"OK\n":
        raise AuthenticationRejected(f"refused: {await_ok}")
    yield from send(CLIENT, b"hello\n")


class KeyFilter:
    """``k`` and a key is input; ``?`` is the program's own; else nobody knows."""

    def __init__(self, mode):
        self.mode, self.inputs, self._key = mode, 0, False

    def feed(self, data):
        passed = bytearray()
        for byte in data:
            if self._key or byte == ord("k"):
                self.inputs += self._key
                self._key = not self._key
            elif byte == ord("?"):
                passed.append(byte)
            elif self.mode is Mode.VIEW:
                raise ViewerRefused("it sent what is no message")
        return data if self.mode is Mode.INTERACT else bytes(passed)


class LightsContract(ProviderContract):
    made: ClassVar = LightsOut
    patience: ClassVar = 5.0
    other_server_id = "web-2"
    refusals: ClassVar = {"db-1": ServerPoweredOff}
    valid_params: ClassVar = ({}, {"line": 1})
    wrong_params: ClassVar = (({"line": 4}, "params.line"), ({"line": "1"}, "line"))
    wrong_config: ClassVar = (
        ({"address": "a:99999", "password": PASSWORD}, "address"),
        ({"address": "a:1"}, "password"),
    )
    targets: ClassVar = (Target(host="192.0.2.9", port=7001),)
    viewer_says: ClassVar = (Said(b"?"), Said(b"ka", is_input=True), Said(b"?"), Said(b"kb", is_input=True))
    secrets: ClassVar = (PASSWORD,)
    fresh_secrets: ClassVar = True

    def hypervisor(self):
        self.lights = Lights()
        return self.lights

    def config(self):
        return {"address": "127.0.0.1:1", "password": PASSWORD}

    async def make_provider(self):
        return await self.make_provider_at(self.lights.host, self.lights.port)

    async def make_provider_at(self, host, port):
        return self.made(host=host, port=port, password=Secret(PASSWORD))

    def held(self):
        return len(self.lights.tickets) + self.lights.connections

    def transcripts(self, endpoint):
        ticket = endpoint.secret.reveal().encode()
        return [
            [Send(SERVER, b"TICKET " + ticket + b"\n"), Arrives(SERVER, b"OK\n"), Send(CLIENT, b"hello\n")]
        ]


def failed_checks(wrong: type) -> set[str]:
    """Run the whole contract over a provider; the names of the checks that fail by their own assertion."""

    class Contract(getattr(wrong, "contract", LightsContract)):
        made: ClassVar = wrong
        patience: ClassVar = 2.0

    failed = set()
    gc.freeze()  # the kit collects garbage: what pytest has loaded is not looked at each time
    try:
        for name in CHECKS:
            try:
                getattr(Contract(), name)()
            except AssertionError:
                failed.add(name)
    finally:
        gc.unfreeze()
    return failed


CHECKS = sorted(name for name in dir(ProviderContract) if name.startswith("test_"))
