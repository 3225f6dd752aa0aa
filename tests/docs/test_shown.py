"""Commands and configurations that any page shows: each command has its options, each key is known."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from consolekit.cli.main import cli
from consolekit.config import model
from consolekit.core.plugins import PROVIDERS, STORES, VALIDATORS

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = ("console", "sh", "bash")
COMMAND = re.compile(r"(?:^|[\s`(])(?:[\w./-]*/)?consolekit (?P<words>[a-z][^`\n]*)", re.MULTILINE)


def blocks(*kinds: str) -> Iterator[Any]:
    """Every fenced block of these kinds, as parameters that name its page and line."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            if found["kind"] in kinds:
                line = text.count("\n", 0, found.start()) + 1
                yield pytest.param(found["text"], id=f"{page.relative_to(ROOT)}:{line}")


def commands() -> Iterator[Any]:
    """Every command of ours, in blocks for a shell and between backquotes."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = [found["text"] for found in BLOCK.finditer(text) if found["kind"] in SHELLS]
        shown += re.findall(r"`[^`\n]+`", BLOCK.sub("", text))
        for words in dict.fromkeys(found["words"] for part in shown for found in COMMAND.finditer(part)):
            yield pytest.param(words, id=f"{page.relative_to(ROOT)}: {words}")


def parsed(words: str) -> None:
    """As the program reads it, but for arguments that are left out.

    Raises:
        click.UsageError: there is no such command or option.
    """
    line = re.split(r"\s+(?:#|[|<>&;]|2>)", words)[0]
    rest, command, context = shlex.split(line), cli, click.Context(cli)
    while isinstance(command, click.Group) and rest:
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)  # type: ignore[assignment]
    options, _, _ = command.make_parser(context).parse_args(list(rest))
    for parameter in command.get_params(context):
        if isinstance(parameter.type, click.Choice) and (value := options.get(parameter.name or "")):
            parameter.type_cast_value(context, value)


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_is_one(words: str) -> None:
    parsed(words)


@pytest.mark.parametrize("words", ["serv", "serve --wrkers 4", "key new a --mode stare", "token keys turn f"])
def test_a_command_that_is_none_is_noticed(words: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(words)


# ---- configurations


def unknown(plain: dict[str, Any]) -> Iterator[str]:
    """The keys that nothing here knows, by their paths."""
    known = {setting.path for setting in model.settings()}
    store = plain.get("tokens", {}).get("store", "sqlite")
    known |= {f"tokens.{key}" for key in properties(STORES, store)}
    for section, table in plain.items():
        for key, value in table.items():
            path = f"{section}.{key}"
            if section in ("providers", "validators"):
                group = PROVIDERS if section == "providers" else VALIDATORS
                allowed = {"use", "single_use", *properties(group, value.get("use"))}
                yield from (f"{path}.{name}" for name in value if name not in allowed)
            elif path == "api.keys":
                allowed = {"sha256", "servers", "subjects", "modes"}
                yield from (f"{path}.{name}" for entry in value.values() for name in entry.keys() - allowed)
            elif path not in known:
                yield path


def properties(group: str, name: str | None) -> set[str]:
    """What the schema of a plug-in takes; of any, where a part of a table does not say whose."""
    found = entry_points(group=group, name=name) if name else entry_points(group=group)
    assert found, f"{name} is none of {group}"
    return {key for point in found for key in point.load().config_schema.get("properties", {})}


@pytest.mark.parametrize("text", list(blocks("toml")))
def test_every_configuration_has_known_keys(text: str) -> None:
    plain = tomllib.loads(text)
    others = ("acme", "[project", "kubevirt")  # packages that are not installed here
    if not any(part in text for part in others):
        assert list(unknown(plain)) == []


def test_a_key_that_nobody_knows_is_noticed() -> None:
    wrong = (
        '[proxy]\nport = 1\n[providers.a]\nuse = "vnc"\nhost = "b"\n[tokens]\nstore = "memory"\npath = "c"\n'
    )
    assert list(unknown(tomllib.loads(wrong))) == ["proxy.port", "providers.a.host", "tokens.path"]


@pytest.mark.parametrize("text", list(blocks("json")))
def test_every_json_is_json(text: str) -> None:
    json.loads(text)


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_every_yaml_is_yaml(text: str) -> None:
    assert list(yaml.safe_load_all(text))


@pytest.mark.parametrize("text", list(blocks("python")))
def test_every_python_compiles(text: str) -> None:
    compile(text, "page", "exec", dont_inherit=True)
