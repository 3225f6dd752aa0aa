"""cli.keys: a key once, its hash for the configuration."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable

import pytest
from click.testing import Result


def test_a_key_and_its_table(run: Callable[..., Result]) -> None:
    result = run("key", "new", "portal", "--server", "web-*", "--server", "db-1", "--subject", "a*")
    assert result.exit_code == 0
    key, _, table = result.stdout.partition("\n")
    assert re.fullmatch(r"cka_[A-Za-z0-9_-]{43}", key)
    assert tomllib.loads(table) == {
        "api": {
            "keys": {
                "portal": {
                    "sha256": hashlib.sha256(key.encode()).hexdigest(),
                    "servers": ["web-*", "db-1"],
                    "subjects": ["a*"],
                }
            }
        }
    }
    assert "Authorization: Bearer" in result.stderr


def test_without_patterns_it_is_for_everything(run: Callable[..., Result]) -> None:
    table = tomllib.loads(run("key", "new", "a").stdout.partition("\n")[2])
    assert table["api"]["keys"]["a"]["servers"] == ["*"]


def test_a_key_for_looking_only(run: Callable[..., Result]) -> None:
    table = tomllib.loads(run("key", "new", "a", "--mode", "view").stdout.partition("\n")[2])
    assert table["api"]["keys"]["a"]["modes"] == ["view"]
    refused = run("key", "new", "a", "--mode", "stare")
    assert refused.exit_code == 2
    assert "'interact', 'view'" in refused.stderr


@pytest.mark.parametrize("name", ["a.b", "a b", ""])
def test_a_name_that_cannot_be(run: Callable[..., Result], name: str) -> None:
    result = run("key", "new", name)
    assert result.exit_code == 2
    assert "Invalid value for NAME: is made of letters" in result.stderr
