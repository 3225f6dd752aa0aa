"""client.operations: what is sent, held to the API's description; and where it may be sent."""

from __future__ import annotations

import inspect
import json
from importlib.resources import files
from typing import Any

import pytest

from consolekit.client import operations
from consolekit.client.clients import AsyncConsoleClient, ConsoleClient
from consolekit.client.operations import LEFT_OUT, METHODS, Call, Gateway
from consolekit.client.problems import ApiProblem, UnexpectedAnswer
from consolekit.core.errors import ConfigError
from consolekit.core.types import ConsoleKey, Mode, Secret

KEY = ConsoleKey("vnc", "novnc")
DOCUMENT: dict[str, Any] = json.loads(files("consolekit.api").joinpath("openapi.json").read_text("utf-8"))
DESCRIBED = {
    operation["operationId"]: (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
CALLS: dict[str, Call[Any]] = {
    "createConsole": operations.create(
        "{server_id}", KEY, subject="alice", mode=Mode.VIEW, ttl_seconds=5, params={"port": 1}
    ),
    "listConsoles": operations.offers("{server_id}"),
    "getConnectInfo": operations.connect_info("{server_id}", KEY),
    "revokeGrant": operations.revoke("{grant_id}"),
    "listSessions": operations.sessions("web-1"),
    "endSession": operations.kill("{session_id}"),
    "showConsoleAuthToken": operations.redeem(Secret("{token}")),
    "getSchema": operations.schema(),
}


def test_each_operation_has_a_method_or_a_reason_for_none() -> None:
    assert set(METHODS) | set(LEFT_OUT) == set(DESCRIBED)
    assert not set(METHODS) & set(LEFT_OUT)
    assert set(CALLS) == set(METHODS)


@pytest.mark.parametrize("operation", sorted(METHODS))
def test_method_and_path_are_the_description_s(operation: str) -> None:
    call = CALLS[operation]
    path = call.target.partition("?")[0].replace("%7B", "{").replace("%7D", "}")
    assert (call.method, path) == DESCRIBED[operation]


@pytest.mark.parametrize("name", sorted(METHODS.values()))
def test_both_clients_have_it_alike(name: str) -> None:
    blocking, awaited = getattr(ConsoleClient, name), getattr(AsyncConsoleClient, name)
    assert inspect.signature(blocking) == inspect.signature(awaited)
    assert blocking.__doc__ == awaited.__doc__
    assert inspect.iscoroutinefunction(awaited)
    assert not inspect.iscoroutinefunction(blocking)


def test_the_clients_have_nothing_else() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert public(ConsoleClient) == {*METHODS.values(), "close"}
    assert public(AsyncConsoleClient) == {*METHODS.values(), "aclose"}


def test_the_body_says_what_was_asked_for_and_nothing_more() -> None:
    assert json.loads(CALLS["createConsole"].body or b"") == {
        "protocol": "vnc", "type": "novnc", "mode": "view", "subject": "alice", "ttl_seconds": 5,
        "params": {"port": 1},
    }  # fmt: skip
    call = operations.create("a", KEY, subject=None, mode=Mode.INTERACT, ttl_seconds=None, params=None)
    assert json.loads(call.body or b"") == {"protocol": "vnc", "type": "novnc", "mode": "interact"}


@pytest.mark.parametrize(
    ("server_id", "target"),
    [
        ("a/b", "/servers/a%2Fb/consoles"),
        ("..", "/servers/%2E%2E/consoles"),
        (".", "/servers/%2E/consoles"),
        ("a?b#c", "/servers/a%3Fb%23c/consoles"),
        ("ü", "/servers/%C3%BC/consoles"),
    ],
)
def test_an_id_stays_one_segment(server_id: str, target: str) -> None:
    assert operations.offers(server_id).target == target


def test_neither_token_nor_key_is_printed() -> None:
    gateway = Gateway(url="https://gw.example.org/", key=Secret("cka_hidden"))
    call = operations.redeem(Secret("ckt_hidden"))
    assert "ckt_hidden" in call.target
    assert "hidden" not in repr(call) + repr(gateway)
    assert ("Authorization", "Bearer cka_hidden") in gateway.headers(call)
    assert not [name for name, _ in Gateway(url="https://gw").headers(call) if name == "Authorization"]


@pytest.mark.parametrize(
    "url",
    [
        "https://gw",
        "https://gw:6081/consoles/",
        "http://127.0.0.1:6081",
        "http://localhost",
        "http://[::1]:6081",
    ],
)
def test_places_that_can_be_meant(url: str) -> None:
    assert Gateway(url=url).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "", "gw", "ftp://gw", "https://", "https://user:hidden@gw", "https://gw?hidden", "https://gw#hidden",
        "https://gw:0", "https://gw:port", "https://[::1", "https://gw/a b", "https://gw/../x", "http://gw",
        "http://192.0.2.1:6081", "https://g w", "https://gw\n",
    ],
)  # fmt: skip
def test_places_that_cannot_or_would_tell_the_key(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Gateway(url=url, key=Secret("cka_x"))
    assert caught.value.problems[0].path == "url"
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two words", "line\r\nX: y", "schlüssel"])
def test_a_key_that_no_header_carries(key: str) -> None:
    with pytest.raises(ConfigError, match=r"^key: must be one word"):
        Gateway(url="https://gw", key=Secret(key))


def test_a_refusal_is_raised_and_nonsense_is_told() -> None:
    call = operations.schema()
    json_type = {"content-type": "application/problem+json", "retry-after": "9"}
    with pytest.raises(ApiProblem) as caught:
        call.result(503, json_type, b'{"code": "draining"}')
    assert (caught.value.code, caught.value.retry_after) == ("draining", 9.0)
    assert call.result(200, {"content-type": "application/schema+json; charset=utf-8"}, b'{"a": 1}') == {
        "a": 1
    }
    for status, headers, body in (
        (200, {"content-type": "text/html"}, b"<html>"),
        (200, {"content-type": "application/json"}, b"{"),
        (200, {"content-type": "application/json"}, b"[" * 100_000),
        (302, {"location": "https://elsewhere"}, b""),
        (502, {"content-type": "application/json"}, b'"bad gateway"'),
        (204, {}, b""),
    ):
        if status == 204:
            assert operations.kill("s").result(status, headers, body) is None
            continue
        with pytest.raises(UnexpectedAnswer):
            call.result(status, headers, body)
