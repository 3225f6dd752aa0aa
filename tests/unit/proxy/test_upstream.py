"""The client's opening handshake: what is asked, and every answer, whole and byte by byte."""

from __future__ import annotations

import base64

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consolekit.core.errors import EndpointRefused, HandshakeError, TicketRefused, UpstreamRefused
from consolekit.core.types import Endpoint, Secret, Transport
from consolekit.proxy.upgrade import accept_value
from consolekit.proxy.upstream import MAX_HEAD, MAX_LINES, Request, make_request, read_answer


def endpoint(**fields: object) -> Endpoint:
    given: dict[str, object] = {
        "transport": Transport.WSS,
        "host": "esx-1.example",
        "port": 443,
        "path": "/ticket/{secret}",
        "subprotocols": ("binary",),
        "secret": Secret("cst-1234"),
        **fields,
    }
    return Endpoint(**given)


def lines_of(request: Request) -> list[str]:
    assert request.data.endswith(b"\r\n\r\n")
    return request.data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


# ---- the request


def test_the_request_says_what_it_must_and_no_more():
    request = make_request(endpoint(headers=(("Authorization", Secret("Bearer x")),)))
    lines = lines_of(request)
    (key,) = [line.partition(": ")[2] for line in lines if line.startswith("Sec-WebSocket-Key: ")]
    assert len(base64.b64decode(key, validate=True)) == 16
    assert request.accept == accept_value(key)
    assert lines == [
        "GET /ticket/cst-1234 HTTP/1.1",
        "Host: esx-1.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: binary",
        "Authorization: Bearer x",
    ]


def test_each_request_has_a_key_of_its_own():
    assert len({make_request(endpoint()).accept for _ in range(100)}) == 100


def test_nothing_secret_is_printed():
    text = repr(make_request(endpoint(headers=(("Authorization", Secret("Bearer x")),))))
    assert "cst-1234" not in text
    assert "Bearer" not in text


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({"port": 8443}, "esx-1.example:8443"),
        ({"port": 80}, "esx-1.example:80"),
        ({"transport": Transport.WS, "port": 80}, "esx-1.example"),
        ({"transport": Transport.WS, "port": 443}, "esx-1.example:443"),
        ({"host": "192.0.2.7"}, "192.0.2.7"),
        ({"host": "2001:db8::7"}, "[2001:db8::7]"),
        ({"host": "2001:db8::7", "port": 1}, "[2001:db8::7]:1"),
        ({"host": "fe80::1%eth0"}, "[fe80::1]"),
        ({"host": "bücher.example"}, "xn--bcher-kva.example"),
        ({"host": "esx_1"}, "esx_1"),
    ],
)
def test_host(fields, host):
    assert f"Host: {host}" in lines_of(make_request(endpoint(**fields)))


def test_several_offers_or_none():
    assert "Sec-WebSocket-Protocol: binary, base64" in lines_of(
        make_request(endpoint(subprotocols=("binary", "base64")))
    )
    assert not [line for line in lines_of(make_request(endpoint(subprotocols=()))) if "Protocol" in line]


@pytest.mark.parametrize(
    ("path", "secret", "target"),
    [
        ("", None, "/"),
        ("/a?b=c", None, "/a?b=c"),
        ("{secret}", "/x/y?z", "/x/y?z"),
        ("/{secret}/{secret}", "t", "/t/t"),
        ("/{other}", "t", "/{other}"),
    ],
)
def test_target(path, secret, target):
    request = make_request(endpoint(path=path, secret=Secret(secret) if secret else None))
    assert lines_of(request)[0] == f"GET {target} HTTP/1.1"
    assert request.ticketed is bool(secret)


BREAKS = ["\r", "\n", "\r\nX: y", "\0", "\x7f"]
REFUSED = {
    **{f"path {end!r}": {"path": f"/a{end}b"} for end in BREAKS},
    **{f"secret {end!r}": {"secret": Secret(f"t{end}t")} for end in BREAKS},
    **{f"header value {end!r}": {"headers": (("X", Secret(f"a{end}b")),)} for end in BREAKS},
    **{f"header name {end!r}": {"headers": ((f"X{end}", Secret("a")),)} for end in BREAKS},
    **{f"subprotocol {end!r}": {"subprotocols": (f"a{end}b",)} for end in BREAKS},
    **{f"host {end!r}": {"host": f"a{end}b"} for end in BREAKS},
    "space in the path": {"path": "/a b"},
    "fragment in the path": {"path": "/a#b"},
    "letter that no path has": {"path": "/é"},
    "another site's path": {"path": "https://elsewhere/"},
    "no secret where the path wants one": {"secret": None},
    "header beyond latin-1": {"headers": (("X", Secret("\u20ac")),)},
    "header of spaces": {"headers": (("X", Secret(" a ")),)},
    "header without a name": {"headers": (("", Secret("a")),)},
    "our own header": {"headers": (("HOST", Secret("elsewhere")),)},
    "our own key": {"headers": (("Sec-WebSocket-Key", Secret("x")),)},
    "a body": {"headers": (("Content-Length", Secret("5")),)},
    "two offers in one": {"subprotocols": ("a, b",)},
    "empty offer": {"subprotocols": ("",)},
    "the same offer twice": {"subprotocols": ("a", "a")},
    "no host": {"host": ""},
    "host with a port": {"host": "a:1"},
    "host with a user": {"host": "u@a"},
    "host with a path": {"host": "a/b"},
    "host of an empty label": {"host": "a..b"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_stand_in_a_request_is_refused_unquoted(name):
    with pytest.raises(EndpointRefused) as refusal:
        make_request(endpoint(**REFUSED[name]))
    assert not any(char in str(refusal.value) for char in "\r\n\0\x7f")
    assert "cst-1234" not in str(refusal.value)


# ---- the answer

REQUEST = Request(
    data=b"",
    accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    subprotocols=("binary",),
    ticketed=False,
    address="esx:443",
)
TICKETED = attrs.evolve(REQUEST, ticketed=True)
FIELDS = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Accept": REQUEST.accept,
    "Sec-WebSocket-Protocol": "binary",
}


def answer(status: str = "HTTP/1.1 101 Switching Protocols", *more: str, **changes: str | None) -> bytes:
    fields = FIELDS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [status, *(f"{name}: {value}" for name, value in fields.items() if value is not None), *more]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read(data: bytes, step: int, request: Request = REQUEST) -> bytes | None:
    """As the proxy reads: again with every piece; the first judgement counts."""
    for end in range(step, len(data) + step, step):
        rest = read_answer(data[:end], request)
        if rest is not None:
            return rest + data[end:]
    return None


STEPS = [1, 7, 1 << 20]
SHORT = "HTTP/1.1 101 x"
GOOD = {
    "plain": answer(),
    "no reason phrase": answer("HTTP/1.1 101"),
    "empty reason phrase": answer("HTTP/1.1 101 "),
    "other case": answer(Upgrade="WebSocket", Connection="keep-alive, UPGRADE"),
    "no spaces": answer().replace(b": ", b":"),
    "more headers": answer(SHORT, "Server: a", "Set-Cookie: a=b", "X-Empty:", "Date: now"),
    "no extension at all": answer(Sec_WebSocket_Extensions=""),
    "100 lines": answer(SHORT, *(f"X-{n}: y" for n in range(MAX_LINES - 5))),
    "the largest head": answer("HTTP/1.1 101 x", "X: " + "y" * (MAX_HEAD - len(answer(SHORT)) - 10)),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", GOOD)
def test_good_answers_and_what_follows_them(name, step):
    """Cases 29 and 33: the 101 and the first frame in one segment, or cut anywhere."""
    if step == 1 and len(GOOD[name]) > 4096:
        step = 97
    assert read(GOOD[name], step) == b""
    assert read(GOOD[name] + b"\x82\x0cRFB 003.008\n", step) == b"\x82\x0cRFB 003.008\n"


def test_no_subprotocol_where_none_was_offered():
    request = attrs.evolve(REQUEST, subprotocols=())
    assert read(answer(Sec_WebSocket_Protocol=None), 1, request) == b""
    with pytest.raises(HandshakeError, match="not offered"):
        read(answer(), 1, request)


BAD = {
    "wrong accept": (answer(Sec_WebSocket_Accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOp="), "Accept"),
    "no accept": (answer(Sec_WebSocket_Accept=None), "Accept"),
    "two accepts": (answer(SHORT, f"Sec-WebSocket-Accept: {REQUEST.accept}"), "Accept"),
    "no upgrade": (answer(Upgrade=None), "upgrades"),
    "another upgrade": (answer(Upgrade="h2c"), "upgrades"),
    "several upgrades": (answer(Upgrade="websocket, h2c"), "upgrades"),
    "no connection": (answer(Connection=None), "upgrades"),
    "connection close": (answer(Connection="close"), "upgrades"),
    "unrequested subprotocol": (answer(Sec_WebSocket_Protocol="vmware-vvc"), "not offered"),
    "subprotocol in another case": (answer(Sec_WebSocket_Protocol="Binary"), "not offered"),
    "both of one": (answer(Sec_WebSocket_Protocol="binary, binary"), "not offered"),
    "subprotocol twice": (answer(SHORT, "Sec-WebSocket-Protocol: binary"), "not offered"),
    "no subprotocol": (answer(Sec_WebSocket_Protocol=None), "chose none"),
    "extension": (answer(Sec_WebSocket_Extensions="permessage-deflate"), "extension"),
    "HTTP/1.0": (answer("HTTP/1.0 101 x"), "HTTP/1.1"),
    "HTTP/2": (b"HTTP/2 101\r\n\r\n", "HTTP/1.1"),
    "a VNC server": (b"RFB 003.008\n", "HTTP/1.1"),
    "an authd": (b"220 VMware Authentication Daemon Version 1.10\r\n", "HTTP/1.1"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", "HTTP/1.1"),
    "no status": (b"HTTP/1.1 abc\r\n", "HTTP/1.1"),
    "status of four": (answer("HTTP/1.1 1010 x"), "HTTP/1.1"),
    "status of signs": (answer("HTTP/1.1 +01 x"), "HTTP/1.1"),
    "folded line": (answer(SHORT, "X: a", " b: c"), "malformed"),
    "space before the colon": (answer(SHORT, "X : a"), "malformed"),
    "no colon": (answer(SHORT, "what"), "malformed"),
    "bare line feed": (answer(SHORT, "X: a\nY: b"), "malformed"),
    "bare return": (answer(SHORT, "X: a\rY: b"), "malformed"),
    "NUL": (answer(SHORT, "X: a\0"), "malformed"),
    "101 lines": (answer(SHORT, *(f"X-{n}: y" for n in range(MAX_LINES - 4))), "does not end"),
    "a long line": (b"HTTP/1.1 101 x\r\nX: " + b"y" * MAX_HEAD, "does not end"),
    "a long status line": (b"HTTP/1.1 101 " + b"y" * MAX_HEAD, "does not end"),
    "endless headers": (b"HTTP/1.1 101 x\r\n" + b"X: y\r\n" * 5000, "does not end"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", BAD)
def test_bad_answers(name, step):
    data, why = BAD[name]
    if step == 1 and len(data) > 4096:
        step = 97
    with pytest.raises(HandshakeError, match=why) as refusal:
        read(data, step)
    assert type(refusal.value) is HandshakeError
    assert "esx:443" in str(refusal.value)


@pytest.mark.parametrize("status", [100, 103, 200, 302, 400, 403, 404, 426, 500, 503])
def test_another_status_is_a_refusal_of_its_own_as_soon_as_its_line_is_there(status):
    with pytest.raises(UpstreamRefused, match=f"HTTP status {status}") as refusal:
        read(f"HTTP/1.1 {status} said /ticket/secret\r\nLocation: /ticket/x".encode(), 1)
    assert refusal.value.answered == status


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_that_may_be_the_tickets_fault(status):
    with pytest.raises(TicketRefused, match=f"HTTP status {status}") as refusal:
        read(f"HTTP/1.1 {status} \r\n".encode(), 1, TICKETED)
    assert "/ticket" not in str(refusal.value)
    assert refusal.value.answered == status
    with pytest.raises(UpstreamRefused):
        read(b"HTTP/1.1 503 Busy\r\n", 1, TICKETED)


def test_half_an_answer_is_none_yet():
    for end in range(len(answer())):
        assert read_answer(answer()[:end], REQUEST) is None


@given(st.binary(max_size=300), st.integers(1, 400))
def test_garbage_is_refused_the_same_way_however_it_is_cut(garbage, step):
    def judge(size: int) -> object:
        try:
            return read(b"HTTP/1.1 101 x\r\n" + garbage + b"\r\n\r\n", size)
        except HandshakeError as exc:
            return type(exc)

    assert judge(1 << 20) == judge(step)
