"""config.toml: what is written is what tomllib reads."""

from __future__ import annotations

import datetime
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consolekit.config.toml import toml_key, toml_value

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | _TEXT | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
)


@given(st.dictionaries(_TEXT, _VALUES, max_size=3))
def test_round_trip(data: dict[str, Any]) -> None:
    text = "".join(f"{toml_key(key)} = {toml_value(value)}\n" for key, value in data.items())
    assert tomllib.loads(text) == data


def test_dates() -> None:
    value = datetime.date(2026, 1, 2)
    assert tomllib.loads(f"a = {toml_value(value)}") == {"a": value}


def test_what_toml_has_not() -> None:
    with pytest.raises(TypeError, match="TOML has no NoneType"):
        toml_value(None)
