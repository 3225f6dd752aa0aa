"""auth.tokenlines: what a line may say."""

from __future__ import annotations

import pytest

from consolekit.auth.tokenlines import digest_of, parse, unambiguous

LONG = "0123456789abcdef"


def places(data: bytes) -> dict[bytes, tuple[str, int]]:
    return {entry.digest: (entry.host, entry.port) for entry in parse(data)[0]}


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("10.0.0.5:5901", ("10.0.0.5", 5901)),
        ("kvm-1.example.org:5901", ("kvm-1.example.org", 5901)),
        ("[2001:DB8::1]:5901", ("2001:db8::1", 5901)),
    ],
)
def test_a_line_names_a_place(place, expected):
    data = f"# comment\n\n \t{LONG}: \t{place} \n".encode()
    assert places(data) == {digest_of(LONG): expected}
    assert parse(data)[1] == []


def test_line_ends_of_windows_and_a_byte_order_mark_are_no_part_of_it():
    data = b"\xef\xbb\xbf" + LONG.encode() + b": h:1\r\n# x\r\n\r\nsecond-token-in-it: h:2\r\n"
    assert places(data) == {digest_of(LONG): ("h", 1), digest_of("second-token-in-it"): ("h", 2)}
    assert parse(data)[1] == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"token", "is not written"),
        (b"token:h:1", "is not written"),
        (b"token: h:1 more", "is not written"),
        (b"to ken: h:1", "is not written"),
        (b"token: h:1\rother: h:2", "is not written"),
        (b": h:1", "is not written"),
        (b"a:b: h:1", "no browser can send"),
        (b"..: h:1", "no browser can send"),
        (b"../x: h:1", "no browser can send"),
        (b"x" * 4097 + b": h:1", "no browser can send"),
        (b"token\0: h:1", "no browser can send"),
        ("tökén: h:1".encode(), "outside ASCII"),
        (b"\xff\xfet\0", "outside ASCII"),
        (b"token: h", "has an address that"),
        (b"token: h:0", "has an address that"),
        (b"token: h:65536", "has an address that"),
        (b"token: h:+1", "has an address that"),
        (b"token: user@h:1", "has an address that"),
        (b"token: ::1:5900", "has an address that"),
        (b"token: [h]:5900", "has an address that"),
        (b"token: " + b"h" * 111 + b":1", "host name of over"),
        (b"token: unix_socket:/run/x.sock", "unix socket"),
        (b"token: unix:/run/x.sock", "unix socket"),
    ],
    ids=range(23),
)
def test_a_line_that_cannot_be_meant_opens_nothing_and_keeps_nobody_from_opening(line, why):
    entries, faults = parse(line + b"\n" + LONG.encode() + b": h:1\n")
    assert [(entry.digest, entry.line) for entry in entries] == [(digest_of(LONG), 2)]
    (fault,) = faults
    assert fault.line == 1
    assert why in fault.why
    assert "token" not in fault.why.replace("has a token", "").replace("token's", "").replace(
        "token: host:port", ""
    )


def test_a_line_without_its_end_is_half_written():
    whole = f"{LONG}: 10.0.0.5:5901\n".encode()
    for end in range(1, len(whole)):
        assert parse(whole[:end])[0] == []
    assert parse(whole[:-1])[1][0].line == 1
    assert len(parse(whole)[0]) == 1
    assert parse(whole + b"  ")[1] == []


def test_a_token_in_two_lines_opens_neither():
    first, second = parse(b"one: h:1\ntwo: h:2\none: h:3\n")[0], parse(b"\none: h:1\n")[0]
    good, faults = unambiguous([*(("a", entry) for entry in first), *(("b", entry) for entry in second)])
    assert set(good) == {digest_of("two")}
    assert [(name, fault.line) for name, fault in faults] == [("a", 1), ("a", 3), ("b", 2)]
    assert "a:3" in faults[0][1].why
    assert "a:1" in faults[2][1].why


def test_a_short_token_is_told():
    assert [entry.short for entry in parse(b"0123456789abcde: h:1\n0123456789abcdef: h:1\n")[0]] == [
        True,
        False,
    ]


def test_any_token_has_a_digest():
    """A browser may send bytes that are no text; asking for them must not fail."""
    assert digest_of("\udcff") != digest_of("\udcfe")


@pytest.mark.parametrize("blank", [b"\x0b", b"\x0c", b"X"])
def test_only_blanks_and_tabs_may_stand_around_a_line(blank):
    line = LONG.encode() + b": h:1"
    assert len(parse(b" \t" + line + b"\t \n")[0]) == 1
    entries, _ = parse(line + b" " + blank + b"\n")
    assert entries == []
