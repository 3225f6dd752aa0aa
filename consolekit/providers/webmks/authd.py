"""Providers, WebMKS: the conversation with a host's authentication daemon, port 902 (ticket type ``mks``).

Pure: no asyncio, socket, ssl, time, logging. In clear only the banner is read; the ticket is sent inside a
TLS whose certificate was checked, and the screen comes through a second TLS, on the same raw socket, whose
certificate the first one has named::

    220 VMware Authentication Daemon Version 1.10: SSL Required, ...
        TLS 1, certificate as the ticket says
    USER <ticket>            331
    PASS <ticket>            230
    THUMBPRINT <nonce>       200 <digest of the certificate of TLS 2>
    CONNECT <cfgFile> mks    200
        TLS 2, certificate as THUMBPRINT said
    <nonce>
        the screen: RFB, from its beginning or from ServerInit on

Replies are FTP's (RFC 959, 4.2): three digits, and ``-`` behind them where more lines follow.
"""

from __future__ import annotations

import base64
import re

import attrs

from consolekit.core.errors import HandshakeError, NoCommonSecurity, TicketRefused
from consolekit.core.handshake import CLIENT, SERVER, Script, Steps, peek, read, send, start_tls
from consolekit.core.types import Secret, TlsPolicy
from consolekit.providers.rfbviewer import enter_freely, printable, welcome_viewer

NONCE_SIZE = 12
"""Random bytes that bind the second TLS to the first."""

LONGEST_LINE = 1024
"""Bytes of a reply's line, its end included."""

MOST_LINES = 16
"""Lines of one reply."""

_CODE = re.compile(rb"([1-5][0-9]{2})([ -]|$)")
_DIGEST = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})")
_LONGEST_WORD = 1024
_SHOWN = 200


def check_word(name: str, text: str) -> None:
    """See that a text can stand in a command as one word: an end of line in it would be a second command.

    Args:
        name: What it is, for the error.
        text: The text; never quoted.

    Raises:
        ValueError: it is empty, too long, or holds spaces or what cannot be printed.
    """
    if not text or len(text) > _LONGEST_WORD:
        raise ValueError(f"the {name} is empty or over {_LONGEST_WORD} characters long")
    if not text.isprintable() or any(char.isspace() for char in text):
        raise ValueError(f"the {name} holds spaces or control characters")


@attrs.frozen(kw_only=True)
class AuthdLogin:
    """What the conversation needs.

    Attributes:
        ticket: User name and password at once.
        cfg_file: The machine's configuration file on its host.
        nonce: ``NONCE_SIZE`` random bytes, of this conversation alone.
        allow_sha1: Whether the second certificate may be known by a SHA-1 digest.
    """

    ticket: Secret
    cfg_file: str
    nonce: bytes = attrs.field(repr=False)
    allow_sha1: bool = False

    def check(self) -> None:
        """See that every field can be sent.

        Raises:
            ValueError: one cannot; says which, never quotes it.
        """
        check_word("ticket", self.ticket.reveal())
        check_word("path of the machine's configuration", self.cfg_file)
        if len(self.nonce) != NONCE_SIZE:
            raise ValueError(f"the nonce has not {NONCE_SIZE} bytes")


def authd_script(login: AuthdLogin) -> Script:
    """Log in with the ticket, go over to the screen, let the viewer in where the stream begins behind that.

    Raises:
        TicketRefused: the host does not (or no longer) know the ticket.
        NoCommonSecurity: it does not demand TLS, or names its certificate by a digest that is not allowed.
        HandshakeError: either side breaks the protocol, or a field cannot be sent; nothing is sent then.
    """
    try:
        login.check()
    except ValueError as exc:
        raise HandshakeError(str(exc)) from None
    nonce = base64.b64encode(login.nonce)
    yield from _read_banner()
    yield from start_tls(SERVER)
    policy = yield from _log_in(login, nonce)
    yield from start_tls(SERVER, policy=policy)
    yield from send(SERVER, nonce)
    yield from _let_viewer_in()


def _read_banner() -> Script:
    code, text = yield from _read_reply()
    if code != 220:
        raise HandshakeError(f"the host does not greet as an authentication daemon: {code} {text[:_SHOWN]}")
    if "SSL Required" not in text:
        raise NoCommonSecurity("the host's authentication daemon does not demand TLS")


def _log_in(login: AuthdLogin, nonce: bytes) -> Steps[TlsPolicy]:
    """The commands inside the first TLS; gives the policy for the second."""
    ticket = login.ticket.reveal().encode()
    yield from _ask(login, b"USER " + ticket, 331, TicketRefused)
    yield from _ask(login, b"PASS " + ticket, 230, TicketRefused)
    digest = yield from _ask(login, b"THUMBPRINT " + nonce, 200)
    yield from _ask(login, b"CONNECT " + login.cfg_file.encode() + b" mks", 200)
    return _second_policy(digest, allow_sha1=login.allow_sha1)


def _ask(
    login: AuthdLogin, line: bytes, wanted: int, error: type[HandshakeError] = HandshakeError
) -> Steps[str]:
    """Send a command; gives the text of the reply that must come."""
    yield from send(SERVER, line + b"\r\n")
    code, text = yield from _read_reply(hide=login.ticket.reveal())
    if code != wanted:
        command = line.partition(b" ")[0].decode()
        raise error(f"the host refused {command}: {code} {text[:_SHOWN]}")
    return text


def _second_policy(told: str, *, allow_sha1: bool) -> TlsPolicy:
    digest = told.replace(":", "").strip().lower()
    if not _DIGEST.fullmatch(digest):
        raise HandshakeError("the host names its second certificate by no SHA-1 and no SHA-256")
    if len(digest) == 64:
        return TlsPolicy(pin_sha256=digest)
    if not allow_sha1:
        raise NoCommonSecurity("the host names its second certificate by SHA-1, which allow_sha1 forbids")
    return TlsPolicy(pin_sha1=digest)


def _read_reply(*, hide: str = "") -> Steps[tuple[int, str]]:
    """One reply, of one line or several; gives its code and the text of its last line."""
    line = yield from _read_line()
    first = _CODE.match(line)
    if first is None:
        begin = _hidden(line, hide)[:_SHOWN]
        raise HandshakeError(f"the host's answer is no reply: it begins {begin!r}")
    last, lines = re.compile(re.escape(first[1]) + rb"( |$)"), 1
    while not last.match(line):
        if lines == MOST_LINES:
            raise HandshakeError(f"a reply of the host has over {MOST_LINES} lines")
        line, lines = (yield from _read_line()), lines + 1
    return int(first[1]), _hidden(line[4:], hide)


def _hidden(data: bytes, secret: str) -> str:
    text = printable(data)
    return text.replace(secret, "***") if secret else text


def _read_line() -> Steps[bytes]:
    """One line without its end, and not one byte more: what follows may be TLS's."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if len(line) >= LONGEST_LINE:
            raise HandshakeError(f"a line of the host is over {LONGEST_LINE} bytes long")
        line += yield from read(SERVER, 1)
    return bytes(line).rstrip(b"\r\n")


def _let_viewer_in() -> Script:
    """Play RFB's beginning to the viewer, and to a host whose stream has one; ends after ClientInit.

    Most hosts begin with ServerInit (RFC 6143, 7.3.2): the ticket was the security, and a ClientInit is
    not awaited.
    """
    greets = (yield from peek(SERVER, 4)) == b"RFB "
    if greets:
        yield from enter_freely()
    yield from welcome_viewer()
    yield from read(CLIENT, 1)
    if greets:
        yield from send(SERVER, b"\x01")  # shared: other viewers are not this one's to throw out
