"""config.structure: no value becomes another, and every mistake is told at once."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from consolekit.config.structure import dotted, leaf_paths, structure
from consolekit.core.address import Address
from consolekit.core.errors import ConfigError


def problems(**data: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as failure:
        structure(data)
    return {problem.path: problem.message for problem in failure.value.problems}


def test_nothing_gives_the_defaults() -> None:
    assert structure({}).tokens.seconds == 60


def test_texts_by_name() -> None:
    urls = {"webmks": "https://mks.example.org"}
    assert structure({"proxy": {"base_urls": urls}}).proxy.base_urls == urls
    found = problems(proxy={"base_urls": {"webmks": 5}})
    assert found == {"proxy.base_urls": "webmks must be text, not a whole number"}
    assert "is written https" in problems(proxy={"base_urls": {"webmks": "mks"}})["proxy.base_urls"]
    assert problems(proxy={"base_urls": "https://a"}) == {"proxy.base_urls": "must be a table, not text"}


def test_values() -> None:
    config = structure(
        {
            "proxy": {"listen": "[::1]:1", "cert": "/c", "key": "", "allowed_origins": ["https://a"]},
            "admin": {"listen": ""},
            "tokens": {"grace_seconds": 5, "store": "x", "path": "/db"},
            "api": {"keys": {"a": {"sha256": "ab" * 32, "servers": ["web-*"]}}},
            "providers": {"b": {"use": "vnc", "servers": {}}, "a": {"use": "x"}},
        }
    )
    assert config.proxy.listen == Address("::1", 1)
    assert config.proxy.cert == Path("/c")
    assert config.proxy.key is None
    assert config.proxy.allowed_origins == ("https://a",)
    assert config.admin.listen is None
    assert config.tokens.grace_seconds == 5.0
    assert config.tokens.options == {"path": "/db"}
    assert config.api.keys["a"].servers == ("web-*",)
    assert list(config.providers) == ["b", "a"]
    assert config.providers["b"].options == {"servers": {}}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (6081.7, "must be a whole number, not a number"),
        ("60", "must be a whole number, not text"),
        (True, "must be a whole number, not true or false"),
        ([60], "must be a whole number, not a list"),
        ({}, "must be a whole number, not a table"),
        (datetime.date(2026, 1, 1), "must be a whole number, not a date"),
        (0, "must be from 1 to 600"),
        (601, "must be from 1 to 600"),
    ],
)
def test_no_value_becomes_a_whole_number(value: object, said: str) -> None:
    assert problems(tokens={"seconds": value}) == {"tokens.seconds": said}


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("proxy", "allow_no_origin", "yes", "must be true or false, not text"),
        ("proxy", "allow_no_origin", 1, "must be true or false, not a whole number"),
        ("proxy", "listen", 6080, "must be text, not a whole number"),
        ("proxy", "cert", 5, "must be text, not a whole number"),
        ("proxy", "cert", "a\0b", "must not hold a zero byte"),
        ("proxy", "allowed_origins", "https://a", "must be a list, not text"),
        ("proxy", "allowed_origins", ["https://a", 5], "entry 1 must be text, not a whole number"),
        ("tokens", "grace_seconds", "30", "must be a number, not text"),
        ("tokens", "grace_seconds", True, "must be a number, not true or false"),
        ("tokens", "grace_seconds", float("nan"), "must be from 0 to 3600"),
        ("log", "level", "loud", "must be one of debug, info, warning, error"),
        ("api", "keys", [], "must be a table, not a list"),
    ],
)
def test_no_value_becomes_another(section: str, key: str, value: object, said: str) -> None:
    assert problems(**{section: {key: value}}) == {f"{section}.{key}": said}


def test_every_mistake_is_told_at_once_with_its_path() -> None:
    found = problems(
        proxy={"listn": ":1", "cert": 5},
        foo={},
        tokens={"seconds": 0},
        api={"keys": {"a": {"sha256": "s3cret", "servers": []}, "b": 5}},
        providers={"lab": {"servers": {}}, "x": 1},
        log=5,
    )
    assert set(found) == {
        "proxy.listn", "proxy.cert", "foo", "tokens.seconds", "api.keys.a.sha256", "api.keys.a.servers",
        "api.keys.b", "providers.lab.use", "providers.x", "log",
    }  # fmt: skip
    assert found["proxy.listn"].startswith("is not known here; did you mean listen? Known: listen, base_url")
    assert found["foo"].startswith("is not known here; known: proxy, api")
    assert found["providers.lab.use"] == "is required"
    assert found["log"] == "must be a table, not a whole number"
    assert "s3cret" not in str(found)


def test_keys_that_toml_would_quote_are_quoted() -> None:
    assert dotted(("servers", "web-1", "a.b", "x_y")) == "servers.web-1.'a.b'.x_y"


def test_leaves_by_type() -> None:
    assert ("tokens", "seconds") in leaf_paths(int)
    assert ("proxy", "cert") in leaf_paths(Path | None)
    assert ("proxy", "cert") not in leaf_paths(str)
