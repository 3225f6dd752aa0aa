"""Whatever a token file holds: it is read without an error, and gives only tokens of whole, exact lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consolekit.auth.lasting import is_sendable
from consolekit.auth.tokenlines import digest_of, parse, unambiguous

TOKENS = st.text("abcXYZ01-_.~!#'", min_size=1, max_size=8)
PLACES = st.builds(
    "{}:{}".format, st.sampled_from(["h", "10.0.0.5", "[::1]", "kvm-1.example"]), st.integers(0, 70_000)
)
LINES = st.builds("{}{}{}".format, TOKENS, st.sampled_from([": ", ":\t", ":", ":  ", " "]), PLACES) | st.text(
    max_size=20
)
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\x0b", "\u2028"])
FILES = (
    st.lists(st.tuples(LINES, ENDS), max_size=8)
    .map(lambda lines: "".join(map("".join, lines)).encode("utf-8", "surrogatepass"))
    .flatmap(lambda data: st.sampled_from([data, b"\xef\xbb\xbf" + data, data.rstrip()]))
)


def whole_lines(data: bytes) -> set[bytes]:
    """By hand, and otherwise than the code: every token that stands in front of ``: `` on a whole line."""
    *lines, _ = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    tokens = set()
    for line in lines:
        words = line.strip(b" \t\r").split()
        if len(words) == 2 and words[0].endswith(b":"):
            tokens.add(words[0][:-1])
    return tokens


@given(st.binary(max_size=400) | FILES)
def test_any_content_is_read_and_gives_only_whole_exact_lines(data):
    entries, faults = parse(data)
    allowed = {digest_of(token.decode()): token for token in whole_lines(data) if token.isascii()}
    for entry in entries:
        token = allowed[entry.digest].decode()
        assert is_sendable(token)
        assert not token.startswith("#")
        assert entry.host
        assert 1 <= entry.port <= 65535
    numbers = [entry.line for entry in entries] + [fault.line for fault in faults]
    assert len(numbers) == len(set(numbers))


@given(FILES, st.data())
def test_a_file_that_is_half_written_gives_only_lines_of_the_whole(data, draw):
    end = draw.draw(st.integers(0, len(data)))
    whole, part = parse(data)[0], parse(data[:end])[0]
    assert part == whole[: len(part)]


@given(st.lists(st.tuples(st.sampled_from("abc"), TOKENS), max_size=10))
def test_only_tokens_that_stand_once_open(written):
    entries = [(name, entry) for name, token in written for entry in parse(f"{token}: h:1\n".encode())[0]]
    good, faults = unambiguous(entries)
    digests = [entry.digest for _, entry in entries]
    assert set(good) == {digest for digest in digests if digests.count(digest) == 1}
    assert len(faults) == len(entries) - len(good)


@given(TOKENS, PLACES)
def test_no_fault_quotes_its_line(token, place):
    for line in (f"{token} {place}\n", f"{token}: {place}:x\n", f"{token}/: {place}\n", f"{token}: {place}"):
        for fault in parse(line.encode())[1]:
            assert place not in fault.why
            assert len(token) < 4 or token not in fault.why
