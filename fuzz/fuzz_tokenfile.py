"""Fuzz target: any bytes as a token file. Reading never fails, and gives whole lines only."""

from __future__ import annotations

from consolekit.auth.lasting import is_sendable
from consolekit.auth.tokenlines import digest_of, parse, unambiguous

SEEDS = [
    b"abc: h:1\n# comment\n\nabc-0123456789abcdef: 10.0.0.5:5900\r\n",
    b"\xef\xbb\xbfa: [::1]:5900\nb:\th:65535\nc: h:99999\nd: unix:/x\ne h:1\n",
    b"same: h:1\nsame: h:2\nhalf: h:59",
    b"a\xff: h:1\n\x00: h:1\n",
]


def one_input(data: bytes) -> None:
    """The content of the file."""
    entries, faults = parse(data)
    words = {word.strip(b":").decode("latin-1") for word in data.removeprefix(b"\xef\xbb\xbf").split()}
    digests = {digest_of(word): word for word in words} | {
        digest_of(word.partition(":")[0]): word.partition(":")[0] for word in words
    }
    for entry in entries:
        assert entry.digest in digests or b"\x0b" in data or b"\x0c" in data
        assert is_sendable(digests.get(entry.digest, "x"))
        assert entry.host
        assert 1 <= entry.port <= 65535
    good, left_out = unambiguous(("file", entry) for entry in entries)
    assert len(good) + len(left_out) == len(entries)
    lines = [entry.line for entry in entries] + [fault.line for fault in faults]
    assert len(set(lines)) == len(lines) <= data.count(b"\n") + 1
    assert parse(data[: len(data) // 2])[0] == entries[: len(parse(data[: len(data) // 2])[0])]
