"""config.option: checks refuse without quoting, documentation travels with the field."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from consolekit.config.option import (
    base_url,
    base_urls,
    between,
    each,
    one_of,
    option,
    patterns,
    sha256,
    word,
)


def test_a_field_carries_its_documentation_and_its_check() -> None:
    check = between(1, 5)

    @attrs.frozen
    class Section:
        seconds: int = option("How long.", 3, check=check)

    field = attrs.fields(Section).seconds
    assert field.metadata == {"doc": "How long.", "check": check}
    assert Section().seconds == 3
    with pytest.raises(ValueError, match="seconds must be from 1 to 5"):
        Section(9)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (between(1, 600), [1, 600], [0, 601, -1, float("nan"), float("inf")]),
        (between(0), [0, 1e9], [-1, float("inf"), float("nan")]),
        (one_of("text", "json"), ["text"], ["xml-s3cret", ""]),
        (word, ["vnc"], [""]),
        (patterns, [("*",)], [(), ("",)]),
        (sha256, ["ab" * 32, "AB" * 32], ["", "ab", "s3cret" * 11]),
        (base_url, ["", "https://a"], ["s3cret"]),
        (
            base_urls,
            [{}, {"webmks": "https://a/x", "spice-html5": "http://[::1]:6080"}],
            [{"webmks": "s3cret"}, {"webmks": ""}, {"WebMKS": "https://a"}, {"": "https://a"}],
        ),
        (each(word), [(), ("a",)], [("a", "")]),
    ],
)
def test_checks(check: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(ValueError, match=r".") as failure:
            check(value)
        assert "s3cret" not in str(failure.value)


def test_each_names_the_entry() -> None:
    with pytest.raises(ValueError, match="entry 1 must not be empty"):
        each(word)(("a", ""))
