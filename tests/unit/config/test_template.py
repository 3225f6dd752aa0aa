"""config.template: the example is whole, right, and the one that is shipped."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from consolekit.config.load import load
from consolekit.config.model import settings
from consolekit.config.template import check_key_name, example, key_table

ROOT = Path(__file__).parents[3]


def test_it_loads_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(example(key_sha256="ab" * 32))
    config = load(file, env={}).config
    assert config.api.keys["portal"].sha256 == "ab" * 32
    assert config.providers["lab"].use == "vnc"


def test_every_key_is_in_it_with_its_default(tmp_path: Path) -> None:
    text = example(key_sha256="ab" * 32)
    for setting in settings():
        assert re.search(rf"^#{setting.path.partition('.')[2]} = ", text, re.MULTILINE), setting.path
    file = tmp_path / "c.toml"
    file.write_text(re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE))
    with_defaults = load(file, env={}).config
    file.write_text("")
    defaults = load(file, env={}).config
    for section in ("proxy", "admin", "limits", "timeouts", "log", "hooks"):
        assert getattr(with_defaults, section) == getattr(defaults, section)


def test_without_a_key_its_table_is_commented_out() -> None:
    assert "keys" not in tomllib.loads(example()).get("api", {})


def test_the_shipped_example_is_this_one() -> None:
    assert (ROOT / "deploy" / "consolekit.toml").read_text(encoding="utf-8") == example()


def test_a_key_table_is_toml() -> None:
    table = tomllib.loads(key_table("a-b", "ab" * 32, ['we"b-*'], ["*"]))
    assert table["api"]["keys"]["a-b"]["servers"] == ['we"b-*']


@pytest.mark.parametrize("name", ["", "-x", "a.b", "a b", 'a"', "ä", "x" * 65])
def test_names_that_no_key_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="is made of letters"):
        check_key_name(name)
