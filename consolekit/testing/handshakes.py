r"""Testing: what every handshake script must stand, from one recorded good conversation.

Knows core.handshake only; opens no socket. ``check_handshake`` is for provider authors' tests::

    def test_handshake():
        check_handshake(lambda: my_script(password), [
            Arrives(SERVER, b"HELLO\n"),
            Send(SERVER, b"password\n"),
            Arrives(SERVER, b"OK\n"),
            Send(CLIENT, b"RFB 003.008\n"),
        ])
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs

from consolekit.core.errors import HandshakeError, PeerClosed
from consolekit.core.handshake import CLIENT, SERVER, Handshake, Peer, Script, Send, StartTls

_TRAILING = {CLIENT: b"\x01client bytes after the end", SERVER: b"server bytes after the end"}
_FLOOD = 1 << 17  # twice what the driver keeps


@attrs.frozen
class Arrives:
    """A transcript's event: the peer sends these bytes."""

    peer: Peer
    data: bytes


Event: TypeAlias = Arrives | Send | StartTls
Transcript: TypeAlias = Sequence[Event]
ScriptFactory: TypeAlias = Callable[[], Script]
Splitter: TypeAlias = Callable[[bytes], Iterable[bytes]]


def check_handshake(script_factory: ScriptFactory, transcript: Transcript) -> None:
    """Try a script against a good conversation in every way a network can deliver it.

    It must come to the same end whole, byte by byte, with the peers interleaved in any way, and with
    bytes behind its end (which it must leave exactly); meet garbage with HandshakeError and nothing
    else; and meet the end of a stream, at every offset, with PeerClosed.

    Args:
        script_factory: Makes a fresh script; called for each attempt.
        transcript: What arrives from the peers (``Arrives``), and what the script must do about it
            (``Send``, ``StartTls``), in order.

    Raises:
        AssertionError: says what went wrong, and in which attempt.
    """
    whole(script_factory, transcript)
    replay(script_factory, transcript, single_bytes, attempt="byte by byte")
    for name, events in _interleavings(transcript):
        _replay_loosely(script_factory, events, transcript, attempt=name)
    _check_trailing(script_factory, transcript)
    _check_eof(script_factory, transcript)
    _check_garbage(script_factory, transcript)


def check_refusal(
    script_factory: ScriptFactory, transcript: Transcript, error: type[HandshakeError]
) -> HandshakeError:
    """Try a script against a conversation that it must refuse at its end, whole and byte by byte.

    Args:
        script_factory: Makes a fresh script.
        transcript: As in ``check_handshake``, up to the bytes that are refused.
        error: What it must raise; exactly this class.

    Returns:
        The error, for a look at its text.

    Raises:
        AssertionError: it was not refused, or otherwise, or something was sent that is not in the
            transcript.
    """
    caught = [_refused(script_factory, transcript, splitter, error) for splitter in (at_once, single_bytes)]
    return caught[0]


def complaints(script_factory: ScriptFactory, transcript: Transcript) -> Iterator[Exception]:
    """What the script says to garbage and to the end of a stream, at every offset of a good conversation.

    Args:
        script_factory: Makes a fresh script.
        transcript: As in ``check_handshake``.
    """
    for number, offset in _offsets(transcript):
        event = transcript[number]
        assert isinstance(event, Arrives)
        for wrong in (None, b"\0", b"\xff"):
            run = _prefix(script_factory, transcript, number, offset)
            try:
                if wrong is None:
                    run.handshake.receive_eof(event.peer)
                else:
                    run.feed(event.peer, [wrong + event.data[offset + 1 :]])
            except Exception as exc:
                yield exc


def at_once(data: bytes) -> Iterable[bytes]:
    """The splitter that splits nothing."""
    return [data]


def single_bytes(data: bytes) -> Iterable[bytes]:
    """The splitter into single bytes."""
    return (data[i : i + 1] for i in range(len(data)))


def whole(script_factory: ScriptFactory, transcript: Transcript) -> Handshake:
    """Replay with each ``Arrives`` in one piece; gives the finished handshake."""
    return replay(script_factory, transcript, at_once, attempt="whole")


def replay(
    script_factory: ScriptFactory,
    transcript: Transcript,
    splitter: Splitter,
    *,
    attempt: str = "replay",
) -> Handshake:
    """Replay a conversation in its order, split as wished; everything must happen in its place.

    Raises:
        AssertionError: it did not.
    """
    run = _Run(script_factory())
    for number, event in enumerate(transcript):
        place = f"{attempt}, event {number} ({event!r})"
        if isinstance(event, Arrives):
            run.expect_nothing(place)
            run.feed(event.peer, splitter(event.data))
        else:
            if isinstance(event, StartTls):
                run.expect_nothing_sent(place)
            run.expect(event, place)
    run.expect_nothing(attempt)
    assert run.handshake.done, f"{attempt}: the script has not ended with its transcript"
    return run.handshake


class _Run:
    """A handshake and what it has done so far."""

    def __init__(self, script: Script) -> None:
        self.handshake = Handshake(script)
        self.sent = {CLIENT: bytearray(), SERVER: bytearray()}
        self.tls: list[StartTls] = []
        self.collect()

    def collect(self) -> None:
        for action in self.handshake.take_actions():
            if isinstance(action, Send):
                self.sent[action.peer] += action.data
            else:
                self.tls.append(action)

    def feed(self, peer: Peer, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.handshake.receive(peer, piece)
            self.collect()

    def expect(self, event: Send | StartTls, place: str) -> None:
        if isinstance(event, StartTls):
            assert self.tls == [event], f"{place}: expected {event}, not {self.tls}"
            self.tls.clear()
            self.handshake.tls_started()
            self.collect()
            return
        sent = self.sent[event.peer]
        found = bytes(sent[: len(event.data)])
        assert found == event.data, f"{place}: expected {event.data!r}, sent was {found!r}"
        del sent[: len(event.data)]

    def expect_nothing_sent(self, place: str) -> None:
        for peer, data in self.sent.items():
            assert not data, f"{place}: unexpectedly sent {bytes(data)!r} to {peer.value}"

    def expect_nothing(self, place: str) -> None:
        self.expect_nothing_sent(place)
        assert not self.tls, f"{place}: unexpectedly started TLS"


def _interleavings(transcript: Transcript) -> Iterator[tuple[str, list[Event]]]:
    """The arrivals in other orders: peers' streams are independent, but for the start of TLS."""
    client = b"".join(e.data for e in transcript if isinstance(e, Arrives) and e.peer is CLIENT)
    others = [e for e in transcript if not (isinstance(e, Arrives) and e.peer is CLIENT)]
    yield "the client's bytes first", [Arrives(CLIENT, client), *others]
    yield "the client's bytes last", [*others, Arrives(CLIENT, client)]
    yield "the client's bytes in between", list(_mixed(others, client))
    yield "the server's bytes as early as may be", list(_early(transcript))


def _mixed(others: Iterable[Event], client: bytes) -> Iterator[Event]:
    pieces = iter(single_bytes(client))
    for event in others:
        if isinstance(event, Arrives):
            for byte in single_bytes(event.data):
                yield Arrives(SERVER, byte)
                yield Arrives(CLIENT, next(pieces, b""))
        else:
            yield event
    for rest in pieces:
        yield Arrives(CLIENT, rest)


def _early(transcript: Transcript) -> Iterator[Event]:
    stretch: list[Event] = []
    for event in [*transcript, None]:
        if event is None or isinstance(event, StartTls):
            yield from sorted(stretch, key=lambda e: not (isinstance(e, Arrives) and e.peer is SERVER))
            stretch.clear()
            if event is not None:
                yield event
        else:
            stretch.append(event)


def _replay_loosely(
    script_factory: ScriptFactory, events: Iterable[Event], transcript: Transcript, *, attempt: str
) -> Handshake:
    """Replay in another order: what was sent counts per peer, not by place."""
    run = _Run(script_factory())
    for event in events:
        if isinstance(event, Arrives):
            run.feed(event.peer, [event.data])
        elif isinstance(event, StartTls):
            run.expect(event, attempt)
    for event in transcript:
        if isinstance(event, Send):
            run.expect(event, attempt)
    run.expect_nothing(attempt)
    assert run.handshake.done, f"{attempt}: the script has not ended with its transcript"
    return run.handshake


def _check_trailing(script_factory: ScriptFactory, transcript: Transcript) -> None:
    """Bytes in the same segment as a peer's last ones must be left over, exactly."""
    for peer, extra in _TRAILING.items():
        attempt = f"with bytes of the {peer.value} after its last"
        events = list(transcript)
        last = max((i for i, e in enumerate(events) if _is_from(e, peer)), default=None)
        if last is None or any(isinstance(e, StartTls) for e in events[last:]):
            continue
        event = events[last]
        assert isinstance(event, Arrives)
        events[last] = Arrives(peer, event.data + extra)
        handshake = _replay_loosely(script_factory, events, transcript, attempt=attempt)
        for side in (CLIENT, SERVER):
            left = handshake.take_leftover(side)
            wanted = extra if side is peer else b""
            assert left == wanted, f"{attempt}: left over of {side.value}: {left!r}, not {wanted!r}"


def _check_eof(script_factory: ScriptFactory, transcript: Transcript) -> None:
    """The end of either stream, at every offset: PeerClosed, and never ``done``."""
    for number, done_bytes in _offsets(transcript):
        for peer in (CLIENT, SERVER):
            attempt = f"{peer.value} ends before byte {done_bytes} of event {number}"
            run = _prefix(script_factory, transcript, number, done_bytes)
            try:
                run.handshake.receive_eof(peer)
            except PeerClosed:
                pass
            except Exception as exc:
                raise AssertionError(f"{attempt}: {type(exc).__name__}, not PeerClosed") from exc
            else:
                raise AssertionError(f"{attempt}: not noticed")
            assert not run.handshake.done, f"{attempt}: done all the same"


def _check_garbage(script_factory: ScriptFactory, transcript: Transcript) -> None:
    """Wrong bytes at every offset: HandshakeError, or no harm; never another exception."""
    for number, offset in _offsets(transcript):
        event = transcript[number]
        assert isinstance(event, Arrives)
        rest = event.data[offset:]
        for wrong in (bytes([rest[0] ^ 1]), b"\0", b"\xff"):
            _survives(script_factory, transcript, number, offset, wrong + rest[1:])
        _survives(script_factory, transcript, number, offset, _noise(_FLOOD, seed=offset))


def _survives(
    script_factory: ScriptFactory, transcript: Transcript, number: int, offset: int, data: bytes
) -> None:
    run = _prefix(script_factory, transcript, number, offset)
    event = transcript[number]
    assert isinstance(event, Arrives)
    try:
        run.feed(event.peer, [data])
        for later in transcript[number + 1 :]:
            if isinstance(later, Arrives):
                run.feed(later.peer, [later.data])
            elif isinstance(later, StartTls):
                run.handshake.tls_started()
                run.collect()
    except HandshakeError:
        assert not run.handshake.done, "done, although it raised"
    except Exception as exc:
        place = f"garbage from byte {offset} of event {number}"
        raise AssertionError(f"{place}: {type(exc).__name__} escapes") from exc


def _prefix(script_factory: ScriptFactory, transcript: Transcript, number: int, offset: int) -> _Run:
    """A run that has got as far as byte ``offset`` of event ``number``."""
    run = _Run(script_factory())
    for event in transcript[:number]:
        if isinstance(event, Arrives):
            run.feed(event.peer, [event.data])
        elif isinstance(event, StartTls):
            run.handshake.tls_started()
            run.collect()
    event = transcript[number]
    if isinstance(event, Arrives) and offset:
        run.feed(event.peer, [event.data[:offset]])
    return run


def _offsets(transcript: Transcript) -> Iterator[tuple[int, int]]:
    for number, event in enumerate(transcript):
        if isinstance(event, Arrives):
            yield from ((number, offset) for offset in range(len(event.data)))


def _refused(
    script_factory: ScriptFactory,
    transcript: Transcript,
    splitter: Splitter,
    error: type[HandshakeError],
) -> HandshakeError:
    try:
        replay(script_factory, transcript, splitter, attempt="refusal")
    except HandshakeError as exc:
        if type(exc) is error:
            return exc
        wrong = f"{type(exc).__name__}, not {error.__name__}: {exc}"
        raise AssertionError(f"refused with {wrong}") from exc
    raise AssertionError(f"not refused; expected {error.__name__}")


def _is_from(event: Event, peer: Peer) -> bool:
    return isinstance(event, Arrives) and event.peer is peer


def _noise(size: int, *, seed: int) -> bytes:
    """Bytes without sense, the same at every run."""
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)
