"""cli.tokenkeys: the file of keys, made, rotated, listed; no key is ever printed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from consolekit.auth.sealedkeys import read_keys

Call = Callable[..., Result]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def silent(result: Result, keys: Path) -> None:
    """No key of the file is in what was said."""
    for entry in json.loads(keys.read_text())["keys"]:
        assert entry["k"] not in result.output
        assert entry["k"][:12] not in result.output


def test_a_life_of_keys(run: Call, keys: Path) -> None:
    made = run("token", "keys", "new", str(keys))
    assert made.exit_code == 0, made.stderr
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    first = made.stdout.strip()
    rotated = run("token", "keys", "rotate", str(keys))
    second = rotated.stdout.strip()
    assert [(key.kid, key.state) for key in read_keys(keys).keys] == [
        (first, "retiring"),
        (second, "active"),
    ]
    listed = run("token", "keys", "list", str(keys))
    head, *rows = [line.split() for line in listed.stdout.splitlines()]
    assert head == ["KEY", "CREATED", "USE"]
    assert [(row[0], row[2:]) for row in rows] == [
        (first, ["opens", "(retiring)"]),
        (second, ["seals", "and", "opens"]),
    ]
    as_json = run("token", "keys", "list", str(keys), "--json")
    assert [entry["seals"] for entry in json.loads(as_json.stdout)] == [False, True]
    for result in (made, rotated, listed, as_json):
        silent(result, keys)
    assert run("token", "keys", "retire", str(keys), first).stdout == f"key {first} is retired\n"
    assert [key.kid for key in read_keys(keys).keys] == [second]


def test_nothing_is_overwritten(run: Call, keys: Path) -> None:
    run("token", "keys", "new", str(keys))
    before = keys.read_bytes()
    result = run("token", "keys", "new", str(keys))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is there already" in result.stderr
    assert keys.read_bytes() == before


def test_a_key_that_cannot_go(run: Call, keys: Path) -> None:
    kid = run("token", "keys", "new", str(keys)).stdout.strip()
    for name, said in ((kid, "rotate first"), ("none", "no key of that name")):
        result = run("token", "keys", "retire", str(keys), name)
        assert result.exit_code == 1
        assert said in result.stderr


@pytest.mark.parametrize("command", [["rotate"], ["list"], ["retire"]])
def test_a_file_that_cannot_be_used(run: Call, keys: Path, command: list[str]) -> None:
    kid = ["x"] if command == ["retire"] else []
    result = run("token", "keys", *command, str(keys), *kid)
    assert result.exit_code == 2
    assert f"keys_file: {keys}: No such file" in result.stderr
    run("token", "keys", "new", str(keys))
    keys.chmod(0o644)
    result = run("token", "keys", *command, str(keys), *kid)
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr
    silent(result, keys)


def test_a_folder_that_is_not_there(run: Call, tmp_path: Path) -> None:
    result = run("token", "keys", "new", str(tmp_path / "no" / "keys.json"))
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr
