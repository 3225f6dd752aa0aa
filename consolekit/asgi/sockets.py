"""ASGI: the websocket: decides everything before it accepts, then hands the bytes to the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from consolekit.asgi.bridge import Bridge, socket_pair
from consolekit.asgi.messages import Message, Receive, Request, Scope, Send, answer_problem
from consolekit.core.errors import ConsoleKitError
from consolekit.http.problems import problem_of
from consolekit.net.channels import SocketChannel
from consolekit.proxy.admission import Admission
from consolekit.proxy.session import Session
from consolekit.proxy.upgrade import Wish, parse_offers

_LONGER: Final = 2.0  # than the relay's own clock, which ticks once a second


async def serve(admission: Admission, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
    """One viewer's websocket, from its request to its end.

    The token is looked for among the subprotocols alone: ASGI servers log addresses whole.
    """
    if (await receive())["type"] != "websocket.connect":
        return
    loop = asyncio.get_running_loop()
    begun = loop.time()
    following: asyncio.Task[Message] = loop.create_task(_received(receive))
    try:
        session, wish = await _admitted(admission, request, scope.get("subprotocols", ()), following)
    except ConsoleKitError as exc:
        await _abandon(following)
        await _refuse(exc, admission, request, scope, send)
        return
    except BaseException:
        await _abandon(following)
        raise
    if session is None:
        admission.around.metrics.refused("viewer_gone")
        return
    patience = admission.around.relay.stall_seconds + _LONGER
    bridge = _connect(session, receive, send, following, patience=patience)
    try:
        await send({"type": "websocket.accept", "subprotocol": wish.subprotocol or None})
        admission.around.metrics.took(loop.time() - begun)
    except OSError:  # gone in this very moment
        await bridge.abandon()
    except BaseException:
        await bridge.abandon()
        raise
    else:
        await bridge.run()


async def _received(receive: Receive) -> Message:
    return await receive()


async def _abandon(following: asyncio.Task[Message]) -> None:
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def _admitted(
    admission: Admission, request: Request, offers: Sequence[str], following: asyncio.Task[Message]
) -> tuple[Session | None, Wish]:
    """The session; None where the viewer left while we were at it.

    Raises:
        ConsoleKitError: there is none for this one.
    """
    admission.check_origin(request.headers.get("origin", []))
    wish = parse_offers(_words(offers))
    admission.around.sessions.admit(request.address)
    opening = asyncio.get_running_loop().create_task(admission.open(wish, address=request.address))
    try:
        await asyncio.wait((opening, following), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        raise
    if following.done():
        await _stop(opening)
        return None, wish
    session = opening.result()
    if session.ended:
        raise session.refusal()
    return session, wish


def _words(offers: Sequence[str]) -> list[str]:
    """The subprotocols one by one; some servers pass the header's lines on as they came."""
    return [word.strip() for line in offers for word in line.split(",")]


async def _stop(opening: asyncio.Task[Session]) -> None:
    """The viewer is gone: leave nothing connected."""
    opening.cancel()
    try:
        session = await opening
    except (asyncio.CancelledError, ConsoleKitError):
        return
    session.end("viewer_gone")


def _connect(
    session: Session, receive: Receive, send: Send, following: asyncio.Task[Message], *, patience: float
) -> Bridge:
    """Begin the session before the viewer is accepted: its end in that moment has its close code too."""
    theirs, ours = socket_pair()
    session.run(SocketChannel(theirs), b"", b"")
    return Bridge(ours, receive, send, first=following, patience=patience)


async def _refuse(
    error: ConsoleKitError, admission: Admission, request: Request, scope: Scope, send: Send
) -> None:
    """An HTTP status, where the server can send one (ASGI's "WebSocket Denial Response"), else its 403."""
    admission.refused(error, address=request.address)
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await answer_problem(send, problem_of(error), kind="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
