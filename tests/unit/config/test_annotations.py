"""config.annotations: which of a plug-in's keys are secret, which are paths."""

from __future__ import annotations

from typing import Any

import pytest

from consolekit.config.annotations import at, is_path, is_secret, masked, with_paths

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "pin": {"type": "string", "writeOnly": True},
        "client_key": {"type": "string", "format": "path"},
        "url": {"type": "string"},
        "servers": {"type": "object", "additionalProperties": {"$ref": "#/$defs/server"}},
        "list": {"type": "array", "items": {"properties": {"code": {"writeOnly": True}}}},
    },
    "patternProperties": {"^x-": {"writeOnly": True}},
    "$defs": {
        "server": {
            "allOf": [{"properties": {"ca": {"format": "path"}}}, {"$ref": "#/$defs/login"}],
            "if": {"properties": {"cond": {"writeOnly": True}}},
        },
        "login": {"properties": {"phrase": {"writeOnly": True}, "again": {"$ref": "#/$defs/server"}}},
    },
}


def test_what_a_schema_says_is_found_through_references_and_compositions() -> None:
    data = {
        "pin": "a",
        "x-thing": "b",
        "servers": {"web-1": {"phrase": "c", "cond": "d", "again": {"phrase": "e"}, "note": "seen"}},
        "list": [{"code": "f"}],
        "url": "seen too",
    }
    assert masked(data, [SCHEMA]) == {
        "pin": "***",
        "x-thing": "***",
        "servers": {"web-1": {"phrase": "***", "cond": "***", "again": {"phrase": "***"}, "note": "seen"}},
        "list": [{"code": "***"}],
        "url": "seen too",
    }


@pytest.mark.parametrize(
    "name", ["password", "Password", "bind_password", "api-key", "key", "secret", "client_secret", "token"]
)
def test_names_that_are_secret_without_a_schema(name: str) -> None:
    assert masked({name: "s3cret"}, []) == {name: "***"}
    assert masked({name: {"nested": "s3cret"}}, []) == {name: "***"}


@pytest.mark.parametrize("name", ["password_file", "tokens", "keyboard", "monkey", "secretary"])
def test_names_that_are_not(name: str) -> None:
    assert masked({name: "shown"}, []) == {name: "shown"}


def test_an_empty_secret_is_shown_as_empty() -> None:
    assert masked({"password": ""}, []) == {"password": ""}


def test_a_path_of_a_key_is_no_secret() -> None:
    assert not is_secret("client_key", at(SCHEMA, "client_key"))
    assert is_secret("client_key", [])


def test_users_and_passwords_in_urls_are_masked() -> None:
    data = {"url": "https://root:s3cret@vc.example/sdk", "more": ["redis://:s3cret@r:1/0"]}
    assert masked(data, [SCHEMA]) == {"url": "https://***@vc.example/sdk", "more": ["redis://***@r:1/0"]}


def test_numbers_stay_numbers() -> None:
    assert masked({"port": 5, "on": True}, []) == {"port": 5, "on": True}


def test_paths_are_found_by_schema_and_by_name() -> None:
    assert is_path("anything", [{"format": "path"}])
    assert is_path("password_file", [])
    assert not is_path("file", [])
    seen = []

    def resolve(path: tuple[str, ...], text: str) -> str:
        seen.append(path)
        return "/base/" + text

    data = {
        "servers": {"w": {"ca": "ca.pem", "note": "n"}},
        "list": [{"password_file": "p"}],
        "client_key": "",
    }
    assert with_paths(data, [SCHEMA], resolve) == {
        "servers": {"w": {"ca": "/base/ca.pem", "note": "n"}},
        "list": [{"password_file": "/base/p"}],
        "client_key": "",
    }
    assert seen == [("servers", "w", "ca"), ("list", "0", "password_file")]


def test_a_reference_in_a_circle_ends() -> None:
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert masked({"x": "y"}, [loop]) == {"x": "y"}


def test_a_reference_to_nothing_says_nothing() -> None:
    assert masked({"x": "y"}, [{"$ref": "#/$defs/none"}, {"$ref": "https://elsewhere"}]) == {"x": "y"}
