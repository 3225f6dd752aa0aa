"""Client: what the API answers, as data. Pure; knows no HTTP.

Members that are not known here are left alone: a newer gateway may tell more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from consolekit.client.problems import UnexpectedAnswer
from consolekit.core.types import ConsoleKey, Mode, Secret

T = TypeVar("T")


def _read_only(members: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(members))


@attrs.frozen(kw_only=True)
class Console:
    """A console that a browser may open now.

    Attributes:
        key: The pair.
        server_id: The server.
        mode: What the viewer may do.
        url: What to send the browser to; whoever has it opens the console, once.
        grant_id: Names the link, to take it back by; opens nothing.
        expires_at: Epoch seconds; the link opens nothing from this instant on.
    """

    key: ConsoleKey
    server_id: str
    mode: Mode
    url: Secret
    grant_id: str
    expires_at: float


@attrs.frozen(kw_only=True)
class Offer:
    """One pair that a server has.

    Attributes:
        key: The pair.
        available: False when the server has it and it cannot be had now.
        code: The error's code when it is not available.
    """

    key: ConsoleKey
    available: bool
    code: str = ""


@attrs.frozen(kw_only=True)
class Session:
    """A live session.

    Attributes:
        id: Its public name; opens nothing.
        grant_id: The link that it lives on.
        key: The pair.
        server_id: Which server.
        subject: For whom.
        mode: What the viewer may do.
        address: The viewer's, as far as the proxy can tell.
        started_at: Epoch seconds.
        bytes_in: From the viewer.
        bytes_out: To the viewer.
    """

    id: str
    grant_id: str
    key: ConsoleKey
    server_id: str
    subject: str
    mode: Mode
    address: str
    started_at: float
    bytes_in: int
    bytes_out: int


@attrs.frozen(kw_only=True)
class ConnectInfo:
    """What a program needs to open a console by itself, past the gateway.

    Attributes:
        key: The pair.
        server_id: The server.
        members: In the hypervisor's own words; some open the console, so none is printed. ``***`` where the
            key may not see secrets.
    """

    key: ConsoleKey
    server_id: str
    members: Mapping[str, Any] = attrs.field(repr=False, converter=_read_only, hash=False)


@attrs.frozen(kw_only=True)
class Redeemed:
    """Where the console of a token is; the token is used up.

    Attributes:
        server_id: The server.
        host: Name or address of the hypervisor.
        port: TCP port.
        access: What the hypervisor wants to be told, in its own words; None where
            it is nothing, or never told.
    """

    server_id: str
    host: str
    port: int
    access: Secret | None


def reader(read: Callable[[Any], T]) -> Callable[[Any], T]:
    """A reader of one answer; what it cannot read is ``UnexpectedAnswer``, and is not quoted."""

    def guarded(body: Any) -> T:
        try:
            return read(body)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise UnexpectedAnswer(
                f"the answer is not what the API describes ({type(exc).__name__})"
            ) from None

    return guarded


def instant(text: str) -> float:
    """Epoch seconds of an RFC 3339 instant in UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.timestamp()


def _key(body: Mapping[str, Any]) -> ConsoleKey:
    return ConsoleKey(body["protocol"], body["type"])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


@reader
def console(body: Any) -> Console:
    """``Console`` of the description."""
    return Console(
        key=_key(body),
        server_id=_text(body["server_id"]),
        mode=Mode(body["mode"]),
        url=Secret(_text(body["url"])),
        grant_id=_text(body["grant_id"]),
        expires_at=instant(body["expires_at"]),
    )


@reader
def offers(body: Any) -> list[Offer]:
    """``Offers`` of the description."""
    return [
        Offer(key=_key(one), available=one["available"] is True, code=_text(one.get("code", "")))
        for one in body["consoles"]
    ]


@reader
def sessions(body: Any) -> list[Session]:
    """``Sessions`` of the description."""
    return [
        Session(
            id=_text(one["session_id"]),
            grant_id=_text(one["grant_id"]),
            key=_key(one),
            server_id=_text(one["server_id"]),
            subject=_text(one["subject"]),
            mode=Mode(one["mode"]),
            address=_text(one["address"]),
            started_at=instant(one["started_at"]),
            bytes_in=int(one["bytes_in"]),
            bytes_out=int(one["bytes_out"]),
        )
        for one in body["sessions"]
    ]


@reader
def connect_info(body: Any) -> ConnectInfo:
    """``ConnectInfo`` of the description."""
    return ConnectInfo(key=_key(body), server_id=_text(body["server_id"]), members=body["connect_info"])


@reader
def redeemed(body: Any) -> Redeemed:
    """``NovaConsole`` of the description."""
    found = body["console"]
    access = found["internal_access_path"]
    return Redeemed(
        server_id=_text(found["instance_uuid"]),
        host=_text(found["host"]),
        port=int(found["port"]),
        access=None if access is None else Secret(_text(access)),
    )


@reader
def schema(body: Any) -> Mapping[str, Any]:
    """The JSON Schema as it is."""
    return dict(body.items())


def nothing(_: Any) -> None:
    """What is answered without a body."""
