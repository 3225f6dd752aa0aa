from __future__ import annotations

import pytest

from consolekit.core.errors import AuthenticationRejected, HandshakeError, PeerClosed
from consolekit.core.handshake import (
    CLIENT,
    SERVER,
    Handshake,
    Script,
    Send,
    StartTls,
    Steps,
    peek,
    read,
    send,
    start_tls,
)


def echo_line() -> Script:
    data = yield from read(SERVER, 4)
    yield from send(SERVER, data[::-1])
    yield from send(CLIENT, data)


def tls_then_read() -> Script:
    yield from read(SERVER, 1)
    yield from start_tls(SERVER)
    secret = yield from read(SERVER, 2)
    yield from send(SERVER, secret)


def test_whole_message() -> None:
    handshake = Handshake(echo_line())
    assert (handshake.waiting_for, handshake.wants(), handshake.done) == (SERVER, 4, False)
    handshake.receive(SERVER, b"abcd")
    assert handshake.take_actions() == [Send(SERVER, b"dcba"), Send(CLIENT, b"abcd")]
    assert handshake.take_actions() == []
    assert handshake.done
    assert (handshake.waiting_for, handshake.wants()) == (None, 0)


def test_wants_shrinks_as_bytes_come() -> None:
    handshake = Handshake(echo_line())
    for left, byte in zip((4, 3, 2, 1), (b"a", b"b", b"c", b"d"), strict=True):
        assert handshake.wants() == left
        assert handshake.take_actions() == []
        handshake.receive(SERVER, byte)
    assert handshake.done


def test_leftover_of_both_peers_is_given_back_once() -> None:
    handshake = Handshake(echo_line())
    handshake.receive(CLIENT, b"early")
    handshake.receive(SERVER, b"abcdREST")
    handshake.receive(CLIENT, b"+later")
    assert handshake.take_leftover(SERVER) == b"REST"
    assert handshake.take_leftover(SERVER) == b""
    assert handshake.take_leftover(CLIENT) == b"early+later"


def test_a_script_without_steps_is_done_at_once() -> None:
    def nothing() -> Script:
        yield from ()

    handshake = Handshake(nothing())
    assert handshake.done
    handshake.receive_eof(SERVER)


def test_sends_before_the_first_read_are_actions_at_once() -> None:
    def greet() -> Script:
        yield from send(CLIENT, b"hello")
        yield from read(CLIENT, 1)

    handshake = Handshake(greet())
    assert handshake.take_actions() == [Send(CLIENT, b"hello")]
    assert handshake.waiting_for is CLIENT


def test_peek_leaves_the_bytes() -> None:
    seen = []

    def look() -> Script:
        seen.append((yield from peek(SERVER, 2)))
        seen.append((yield from peek(SERVER, 3)))
        seen.append((yield from read(SERVER, 2)))

    handshake = Handshake(look())
    handshake.receive(SERVER, b"ab")
    assert seen == [b"ab"]
    assert handshake.wants() == 1
    handshake.receive(SERVER, b"cd")
    assert seen == [b"ab", b"abc", b"ab"]
    assert handshake.take_leftover(SERVER) == b"cd"


def test_reading_nothing_needs_no_bytes() -> None:
    seen = []

    def zero() -> Script:
        seen.append((yield from read(SERVER, 0)))

    assert Handshake(zero()).done
    assert seen == [b""]


def test_very_many_small_steps_do_not_nest() -> None:
    def count() -> Steps[None]:
        for _ in range(20_000):
            yield from read(SERVER, 1)
            yield from send(SERVER, b"")

    handshake = Handshake(count())
    handshake.receive(SERVER, bytes(20_000))
    assert handshake.done


def test_tls_waits_for_its_establishment() -> None:
    handshake = Handshake(tls_then_read())
    handshake.receive(SERVER, b"x")
    assert handshake.take_actions() == [StartTls(SERVER)]
    assert (handshake.waiting_for, handshake.wants(), handshake.done) == (None, 0, False)
    handshake.tls_started()
    handshake.receive(SERVER, b"yz")
    assert handshake.take_actions() == [Send(SERVER, b"yz")]
    assert handshake.done


def test_the_other_peer_may_speak_while_tls_is_started() -> None:
    handshake = Handshake(tls_then_read())
    handshake.receive(SERVER, b"x")
    handshake.receive(CLIENT, b"early")
    handshake.tls_started()
    handshake.receive(SERVER, b"yz")
    assert handshake.take_leftover(CLIENT) == b"early"


@pytest.mark.parametrize("pieces", [(b"xyz",), (b"x", b"y")])
def test_clear_text_behind_the_start_of_tls_is_refused(pieces: tuple[bytes, ...]) -> None:
    handshake = Handshake(tls_then_read())
    *before, last = pieces
    for piece in before:
        handshake.receive(SERVER, piece)
    with pytest.raises(HandshakeError, match="in clear"):
        handshake.receive(SERVER, last)
    with pytest.raises(HandshakeError, match="failed already"):
        handshake.tls_started()
    assert not handshake.done


def test_tls_that_nobody_asked_for() -> None:
    handshake = Handshake(echo_line())
    with pytest.raises(HandshakeError, match="not asked for"):
        handshake.tls_started()
    handshake.receive(SERVER, b"abcd")
    assert handshake.done


def test_a_script_that_refused_can_never_be_done() -> None:
    def refuse() -> Script:
        yield from read(SERVER, 1)
        raise AuthenticationRejected("no")

    handshake = Handshake(refuse())
    with pytest.raises(AuthenticationRejected):
        handshake.receive(SERVER, b"x")
    with pytest.raises(HandshakeError, match="failed already"):
        handshake.receive(SERVER, b"more")
    with pytest.raises(HandshakeError, match="failed already"):
        handshake.receive_eof(SERVER)
    assert not handshake.done
    assert handshake.waiting_for is None


@pytest.mark.parametrize("peer", [CLIENT, SERVER])
def test_more_than_the_limit_is_refused(peer: object) -> None:
    def long_wait() -> Script:
        yield from read(SERVER, 60)

    assert peer in (CLIENT, SERVER)
    handshake = Handshake(long_wait(), limit=64)
    with pytest.raises(HandshakeError, match="over 64 bytes"):
        handshake.receive(peer, bytes(65))  # type: ignore[arg-type]  # parametrize gives object
    assert not handshake.done


def test_the_limit_counts_per_peer() -> None:
    handshake = Handshake(echo_line(), limit=8)
    handshake.receive(CLIENT, bytes(8))
    handshake.receive(SERVER, bytes(8))
    assert handshake.done


def test_a_step_that_could_never_be_met_fails_at_once() -> None:
    def greedy() -> Script:
        yield from read(SERVER, 65)

    with pytest.raises(HandshakeError, match="waits for 65 bytes"):
        Handshake(greedy(), limit=64)


@pytest.mark.parametrize("peer", [CLIENT, SERVER])
def test_eof_in_the_middle(peer: object) -> None:
    assert peer in (CLIENT, SERVER)
    handshake = Handshake(echo_line())
    handshake.receive(SERVER, b"abc")
    with pytest.raises(PeerClosed, match="closed in the middle"):
        handshake.receive_eof(peer)  # type: ignore[arg-type]  # parametrize gives object
    with pytest.raises(HandshakeError, match="failed already"):
        handshake.receive(SERVER, b"d")
    assert not handshake.done


def test_eof_after_the_end_is_the_relays_business() -> None:
    handshake = Handshake(echo_line())
    handshake.receive(SERVER, b"abcdR")
    handshake.receive_eof(SERVER)
    assert handshake.take_leftover(SERVER) == b"R"


def test_eof_while_tls_is_started() -> None:
    handshake = Handshake(tls_then_read())
    handshake.receive(SERVER, b"x")
    with pytest.raises(PeerClosed):
        handshake.receive_eof(SERVER)


def test_a_script_may_name_a_better_reason_for_eof() -> None:
    def with_reason() -> Script:
        try:
            yield from read(SERVER, 4)
        except PeerClosed:
            raise AuthenticationRejected("hung up on the password") from None

    handshake = Handshake(with_reason())
    with pytest.raises(AuthenticationRejected):
        handshake.receive_eof(SERVER)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_script_cannot_carry_on_after_eof(goes_on: bool) -> None:
    def stubborn() -> Script:
        try:
            yield from read(SERVER, 4)
        except PeerClosed:
            if goes_on:
                yield from send(CLIENT, b"fine")

    handshake = Handshake(stubborn())
    with pytest.raises(PeerClosed):
        handshake.receive_eof(SERVER)
    assert not handshake.done
    assert handshake.take_actions() == []


def test_close_gives_the_script_up() -> None:
    ended = []

    def tidy() -> Script:
        try:
            yield from read(SERVER, 1)
        finally:
            ended.append(True)

    Handshake(tidy()).close()
    assert ended == [True]


def test_repr_of_a_send_shows_no_bytes() -> None:
    assert "hunter2" not in repr(Send(SERVER, b"hunter2"))
    assert "7 bytes" in repr(Send(SERVER, b"hunter2"))
