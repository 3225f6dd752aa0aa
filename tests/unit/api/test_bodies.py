from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consolekit.api.bodies import MAX_DEPTH, is_json, read_object
from consolekit.core.errors import MalformedRequest

CANARY = "C4n4ry_V41ue"


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        (["application/json"], True),
        (["application/json; charset=utf-8"], True),
        (['Application/JSON;Charset="UTF-8"'], True),
        (["application/json; charset=latin-1"], False),
        (["application/json; charset=utf-16"], False),
        (["text/plain"], False),
        (["text/plain; application/json"], False),
        (["application/jsonp"], False),
        (["application/json, text/plain"], False),
        (["application/x-www-form-urlencoded"], False),
        (["multipart/form-data; boundary=application/json"], False),
        (["application/json", "application/json"], False),
        ([""], False),
        ([], False),
    ],
)
def test_case_21_only_json_is_json(values: list[str], fits: bool) -> None:
    assert is_json(values) is fits


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON: line 1, column 1"),
        (b"{", "not JSON"),
        (b"{}{}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":"', "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b'{"a":1,"a":2}', "names a key twice"),
        (b'{"a":{"b":1,"\\u0062":2}}', "names a key twice"),
        (b'{"a":NaN}', "NaN or an infinity"),
        (b'{"a":Infinity}', "NaN or an infinity"),
        (b'{"a":-Infinity}', "NaN or an infinity"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":' + b"9" * 5000 + b"}", "number that is too long"),
        (b'{"a":"\xff"}', "not UTF-8"),
        ('{"a":"b"}'.encode("utf-16"), "not UTF-8"),
        ('{"a":"b"}'.encode("utf-16-le"), "not JSON"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a":"\\ud800"}', "lone surrogate"),
        (b'{"\\udfff":1}', "lone surrogate"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "more than 32 deep"),
        (b"[" * 100_000, "more than 32 deep"),
        (b'{"a":' * 60_000, "more than 32 deep"),
        (b'{"a":"\\"' + b"[" * 100, "not JSON"),
    ],
)
def test_what_is_not_well_formed_is_told_without_quoting(body: bytes, told: str) -> None:
    with pytest.raises(MalformedRequest, match=told) as caught:
        read_object(body)
    assert caught.value.status == 400
    assert caught.value.public_detail == str(caught.value)


@pytest.mark.parametrize(
    "body", [f'{{"{CANARY}": }}', f'{{"{CANARY}":1,"{CANARY}":2}}', f'["{CANARY}"]', CANARY]
)
def test_no_text_quotes_the_body(body: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        read_object(body.encode())
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_brackets_in_strings_are_no_depth() -> None:
    data = {"a": "[" * 1000 + '"\\' + "{" * 1000, '{"[': 1}
    assert read_object(json.dumps(data).encode()) == data


def test_the_deepest_that_is_read() -> None:
    body = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert read_object(body)


texts = st.text(max_size=20)
trees: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(data=st.dictionaries(texts, trees, max_size=5), ascii_only=st.booleans())
def test_every_object_comes_out_as_it_went_in(data: dict[str, Any], ascii_only: bool) -> None:
    assert read_object(json.dumps(data, ensure_ascii=ascii_only).encode()) == data


@given(body=st.binary(max_size=200) | st.text(alphabet='{}[]":,\\ud80a1e9NI', max_size=60).map(str.encode))
def test_whatever_comes_is_an_object_or_one_error(body: bytes) -> None:
    try:
        found = read_object(body)
    except MalformedRequest:
        return
    assert isinstance(found, dict)
