"""auth.exact: what has two readings is refused."""

from __future__ import annotations

import pytest

from consolekit.auth.exact import MAX_DEPTH, read_base64url, read_json, write_base64url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b'{"b":{"a":1,"\\u0061":2}}', "twice"),
        (b"NaN", "a number that is none"),
        (b"[-Infinity]", "a number that is none"),
        (b"1e999", "not JSON compliant"),
        (b'"\\ud800"', "not UTF-8"),
        (b'{"\\udfff":1}', "not UTF-8"),
        (b'"\xff"', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b"", "no JSON"),
        (b"{} {}", "no JSON"),
        (b"1" * 5000, "limit"),
        (b"[" * 100_000, "levels deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "levels deep"),
        (b'{"a":' * 100_000, "levels deep"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_json_that_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_json(text)


def test_brackets_in_strings_are_no_depth() -> None:
    assert read_json(b'["[[[[[[[[[[[[[[[[[[[[", "\\"[[[[[[[[[[[[[[[[[[["]')
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert read_json(deepest) is not None


def test_json_is_read() -> None:
    assert read_json('{"a":[1,1.5,null,"ü😀"]}'.encode()) == {"a": [1, 1.5, None, "ü😀"]}


@pytest.mark.parametrize("text", ["AA==", "AB", "A", "A+", "A/", "AA\n", " AA", "ÄÄ", "\ud800", "A=", "A.A"])
def test_base64url_that_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no base64url"):
        read_base64url(text)


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xfe\xfd", bytes(range(256))])
def test_base64url_comes_back(data: bytes) -> None:
    assert read_base64url(write_base64url(data)) == data
