from __future__ import annotations

import attrs
import authdtalk as a
import pytest
from transcripts import says

from consolekit.core.errors import HandshakeError, NoCommonSecurity, PeerClosed, TicketRefused
from consolekit.core.handshake import CLIENT, SERVER, Handshake, Script, Send, StartTls
from consolekit.core.types import Secret
from consolekit.providers.webmks.authd import LONGEST_LINE, MOST_LINES, authd_script, check_word
from consolekit.testing.handshakes import Arrives, Event, check_refusal, replay, single_bytes, whole


def script(**changes: object) -> Script:
    return authd_script(attrs.evolve(a.LOGIN, **changes))


@pytest.mark.parametrize("digest", [a.SHA1, a.SHA256], ids=["SHA-1", "SHA-256"])
def test_byte_by_byte(digest: str) -> None:
    events = [*a.until_screen(digest), says(a.SERVER_INIT[:4]), *a.viewer()]
    handshake = replay(script, events, single_bytes)
    assert handshake.take_leftover(SERVER) == a.SERVER_INIT[:4]


@pytest.mark.parametrize("minor", [3, 7, 8])
def test_a_stream_that_begins_at_server_init(minor: int) -> None:
    """The viewer is played the beginning and its ClientInit is swallowed; ServerInit is the relay's."""
    handshake = whole(script, [*a.until_screen(), says(a.SERVER_INIT), *a.viewer(minor)])
    assert handshake.take_leftover(SERVER) == a.SERVER_INIT
    assert handshake.take_leftover(CLIENT) == b""


@pytest.mark.parametrize("minor", [3, 7, 8])
@pytest.mark.parametrize("shared", [b"\0", b"\1"], ids=["exclusive", "shared"])
def test_a_stream_that_begins_with_rfb(minor: int, shared: bytes) -> None:
    """Both are played their beginning, so that what follows begins at the same place as everywhere."""
    viewer = [*a.viewer()[:-1], Arrives(CLIENT, shared), Send(SERVER, b"\1"), says(a.SERVER_INIT)]
    handshake = replay(script, [*a.until_screen(), *a.greeting(minor), *viewer], single_bytes)
    assert handshake.take_leftover(SERVER) == a.SERVER_INIT


@pytest.mark.parametrize("offer", [b"\0", b"\1\2", b"\2\2\x13"], ids=["none", "password", "two others"])
def test_a_stream_that_wants_more_than_the_ticket(offer: bytes) -> None:
    check_refusal(script, [*a.until_screen(), *a.greeting()[:2], says(offer)], NoCommonSecurity)


def test_a_stream_that_takes_its_offer_back() -> None:
    check_refusal(script, [*a.until_screen(), *a.greeting()[:4], says(b"\0\0\0\1")], HandshakeError)


def test_the_viewer_hears_nothing_before_the_screen_is_there() -> None:
    handshake = Handshake(script())
    for event in a.until_screen():
        if isinstance(event, Arrives):
            handshake.receive(SERVER, event.data)
        for action in handshake.take_actions():
            assert action.peer is SERVER
            if isinstance(action, StartTls):
                handshake.tls_started()
    assert handshake.waiting_for is SERVER
    handshake.receive(SERVER, a.SERVER_INIT)
    assert handshake.waiting_for is CLIENT


def test_never_asks_for_a_byte_behind_a_line() -> None:
    """TLS begins right there: a byte too many would be a byte of it."""
    handshake, taken = Handshake(script()), 0
    while handshake.waiting_for is SERVER:
        size = handshake.wants()
        handshake.receive(SERVER, a.BANNER[taken : taken + size])
        taken += size
    assert taken == len(a.BANNER)
    assert handshake.take_actions() == [StartTls(SERVER)]


def test_bytes_in_clear_behind_the_banner_are_refused() -> None:
    with pytest.raises(HandshakeError, match="in clear"):
        Handshake(script()).receive(SERVER, a.BANNER + b"\x16")


LONG = b"220-" + b"x" * (LONGEST_LINE - 6) + b"\r\n"


@pytest.mark.parametrize(
    "banner",
    [
        b"220 VMware: SSL Required\n",
        b"220-VMware Authentication Daemon\r\n220 SSL Required\r\n",
        b"220-Hello\r\n something\r\n221 not the end\r\n220-nor this\r\n220 SSL Required\r\n",
        LONG + b"y\r\n" * (MOST_LINES - 2) + b"220 SSL Required\r\n",
    ],
)
def test_banners(banner: bytes) -> None:
    whole(script, [*a.until_screen(banner=banner), says(b"\0\0\0\0"), *a.viewer()])


@pytest.mark.parametrize(
    ("banner", "error", "text"),
    [
        (b"220 VMware Authentication Daemon Version 1.10\r\n", NoCommonSecurity, "does not demand TLS"),
        (b"220-SSL Required\r\n220 bye\r\n", NoCommonSecurity, "does not demand TLS"),
        (b"421 too many connections\r\n", HandshakeError, "421 too many connections"),
        (b"RFB 003.008\n", HandshakeError, "begins 'RFB 003.008'"),
        (b"HTTP/1.1 400 Bad Request\r\n", HandshakeError, "HTTP/1.1 400"),
        (b"\r\n", HandshakeError, "no reply"),
        (b"22 SSL Required\r\n", HandshakeError, "no reply"),
        (b"2200 SSL Required\r\n", HandshakeError, "no reply"),
        (b"620 SSL Required\r\n", HandshakeError, "no reply"),
        ("\u0662\u0662\u0660 SSL Required\r\n".encode(), HandshakeError, "no reply"),
        (b"x" * LONGEST_LINE, HandshakeError, "over 1024 bytes"),
        (b"220-\r\n" * MOST_LINES, HandshakeError, "over 16 lines"),
    ],
)
def test_what_is_no_banner(banner: bytes, error: type[HandshakeError], text: str) -> None:
    assert text in str(check_refusal(script, [says(banner)], error))


def until(command: bytes) -> list[Event]:
    """The good conversation up to what a command is answered."""
    events: list[Event] = []
    for event in a.until_screen():
        events.append(event)
        if not isinstance(event, Arrives | StartTls) and event.data.startswith(command):
            return events
    raise AssertionError(command)


@pytest.mark.parametrize(
    ("command", "reply", "error"),
    [
        (b"USER", b"530 no", TicketRefused),
        (b"USER", b"230 User logged in, no password needed", TicketRefused),
        (b"PASS", b"530 Login incorrect.", TicketRefused),
        (b"PASS", b"331 again", TicketRefused),
        (b"THUMBPRINT", b"500 unknown command", HandshakeError),
        (b"CONNECT", b"550 no such machine", HandshakeError),
        (b"CONNECT", b"331 what", HandshakeError),
    ],
)
def test_every_status_counts(command: bytes, reply: bytes, error: type[HandshakeError]) -> None:
    refusal = check_refusal(script, [*until(command), says(reply + b"\r\n")], error)
    assert f"refused {command.decode()}: {reply.decode()}" in str(refusal)


@pytest.mark.parametrize("command", [b"USER", b"PASS", b"THUMBPRINT", b"CONNECT"])
@pytest.mark.parametrize(
    "reply", [b"530 %s is wrong", b"530 %s" + b"x" * 200, b"%s", b"530 " + b"x" * 180 + b"%s"]
)
def test_an_echoed_ticket_does_not_get_out(command: bytes, reply: bytes) -> None:
    handshake = Handshake(script())
    for event in until(command):
        if isinstance(event, Arrives):
            handshake.receive(SERVER, event.data)
        elif isinstance(event, StartTls):
            handshake.tls_started()
    with pytest.raises(HandshakeError) as caught:
        handshake.receive(SERVER, reply % a.TICKET.encode() + b"\r\n")
    assert a.TICKET[:8] not in str(caught.value)
    assert len(str(caught.value)) < 260


@pytest.mark.parametrize("digest", [a.SHA256.upper(), ":".join([a.SHA256[:2]] * 32)])
def test_digests_with_colons_and_in_upper_case(digest: str) -> None:
    events = [*until(b"THUMBPRINT"), says(b"200 " + digest.encode() + b"\r\n"), *a.until_screen()[8:]]
    whole(script, [*events, says(b"\0\0\0\0"), *a.viewer()])


@pytest.mark.parametrize("digest", ["", "no", "ab" * 19, "ab" * 48, "ab" * 20 + " x", "zz" * 20])
def test_what_is_no_digest(digest: str) -> None:
    events = [*until(b"THUMBPRINT"), says(b"200 " + digest.encode() + b"\r\n"), *a.until_screen()[8:9]]
    check_refusal(script, [*events, *a.until_screen()[9:10]], HandshakeError)


def test_sha1_only_by_leave() -> None:
    events = a.until_screen(a.SHA1)[:-2]
    error = check_refusal(lambda: script(allow_sha1=False), events, NoCommonSecurity)
    assert "allow_sha1" in str(error)
    whole(lambda: script(allow_sha1=False), [*a.until_screen(a.SHA256), says(b"\0\0\0\0"), *a.viewer()])


BAD_WORDS = [
    "",
    " ",
    "a b",
    "a\r\nPASS b",
    "a\n",
    "a\0",
    "a\x7f",
    "a\u2028b",
    "a\u00a0b",
    "a" * 1025,
    "\ud800",
]


@pytest.mark.parametrize("word", BAD_WORDS)
@pytest.mark.parametrize("field", ["ticket", "cfg_file"])
def test_what_is_no_word_is_refused_before_a_byte_is_sent(field: str, word: str) -> None:
    value = Secret(word) if field == "ticket" else word
    with pytest.raises(HandshakeError) as caught:
        Handshake(script(**{field: value}))
    assert not word.strip() or word not in str(caught.value)


@pytest.mark.parametrize("size", [0, 11, 13])
def test_a_nonce_has_twelve_bytes(size: int) -> None:
    with pytest.raises(HandshakeError, match="nonce"):
        Handshake(script(nonce=bytes(size)))


def test_words() -> None:
    check_word("path", "/vmfs/volumes/маша/[1]-a.vmx")
    with pytest.raises(ValueError, match="the path holds spaces"):
        check_word("path", "a b")


def test_a_host_that_hangs_up_at_the_end() -> None:
    handshake = Handshake(script())
    for event in a.until_screen():
        if isinstance(event, Arrives):
            handshake.receive(SERVER, event.data)
        elif isinstance(event, StartTls):
            handshake.tls_started()
    with pytest.raises(PeerClosed):
        handshake.receive_eof(SERVER)


def test_nothing_secret_in_repr() -> None:
    assert a.TICKET not in repr(a.LOGIN)
    assert repr(a.NONCE) not in repr(a.LOGIN)
