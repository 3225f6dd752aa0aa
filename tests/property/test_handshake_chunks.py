"""However a network cuts and mixes the streams, a handshake comes to the same end."""

from __future__ import annotations

import transcripts as t
from hypothesis import given
from hypothesis import strategies as st

from consolekit.core.errors import HandshakeError
from consolekit.core.handshake import CLIENT, SERVER, Handshake, Peer, Send, StartTls
from consolekit.providers.vnc.rfb import vnc_script
from consolekit.testing.handshakes import Arrives, replay

logins = st.sampled_from(sorted(t.LOGINS))
cuts = st.lists(st.integers(1, 20), min_size=1, max_size=40)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, turn = [], 0
    while data:
        size = sizes[turn % len(sizes)]
        pieces.append(data[:size])
        data, turn = data[size:], turn + 1
    return pieces


@given(name=logins, sizes=cuts, minor=st.sampled_from([3, 7, 8]))
def test_any_cuts(name: str, sizes: list[int], minor: int) -> None:
    policy, events = t.LOGINS[name]
    replay(
        lambda: vnc_script(policy),
        [*events, *t.viewer(minor)],
        lambda data: cut(data, sizes),
    )


@given(name=st.sampled_from([n for n in t.LOGINS if n[-3:-1] == "3."]), data=st.data())
def test_any_mixture_of_the_two_streams(name: str, data: st.DataObject) -> None:
    policy, events = t.LOGINS[name]
    whole = [*events, *t.viewer()]
    streams = {
        peer: b"".join(e.data for e in whole if isinstance(e, Arrives) and e.peer is peer) + b"REST"
        for peer in (CLIENT, SERVER)
    }
    handshake = Handshake(vnc_script(policy))
    sent = {CLIENT: b"", SERVER: b""}
    while any(streams.values()):
        left = [peer for peer, stream in streams.items() if stream]
        peer = data.draw(st.sampled_from(left))
        size = data.draw(st.integers(1, len(streams[peer])))
        if "X509" in name:
            size = min(size, 1)
        handshake.receive(peer, streams[peer][:size])
        streams[peer] = streams[peer][size:]
        collect(handshake, sent)
    assert handshake.done
    assert sent == expected(whole)
    assert handshake.take_leftover(CLIENT) == b"REST"
    assert handshake.take_leftover(SERVER) == b"REST"


def collect(handshake: Handshake, sent: dict[Peer, bytes]) -> None:
    for action in handshake.take_actions():
        if isinstance(action, StartTls):
            handshake.tls_started()
        else:
            sent[action.peer] += action.data


def expected(events: t.Events) -> dict[Peer, bytes]:
    return {
        peer: b"".join(e.data for e in events if isinstance(e, Send) and e.peer is peer)
        for peer in (CLIENT, SERVER)
    }


@given(
    name=logins,
    messages=st.lists(st.tuples(st.sampled_from([CLIENT, SERVER]), st.binary(max_size=64)), max_size=20),
    start=st.integers(0, 6),
)
def test_only_handshake_errors_escape(name: str, messages: list[tuple[Peer, bytes]], start: int) -> None:
    """After a good beginning of any length: anything at all."""
    policy, events = t.LOGINS[name]
    handshake = Handshake(vnc_script(policy))
    begin = [e for e in events if isinstance(e, Arrives)][:start]
    try:
        for peer, data in [*((e.peer, e.data) for e in begin), *messages]:
            handshake.receive(peer, data)
            collect(handshake, {CLIENT: b"", SERVER: b""})
    except HandshakeError:
        assert not handshake.done
