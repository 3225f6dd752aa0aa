"""config.layers: a tree of a file, variables and flags; whence each value came."""

from __future__ import annotations

from pathlib import Path

import pytest

from consolekit.config import layers
from consolekit.config.layers import (
    DEFAULT,
    Origin,
    Tree,
    add_environment,
    add_file,
    add_flags,
    find_file,
)
from consolekit.core.errors import ConfigError, Problem

FILE = Origin(kind="file", name="f")
ENV = Origin(kind="env", name="E")


def environment(tree: Tree, **variables: str) -> list[Problem]:
    env = {f"CONSOLEKIT_{name}": value for name, value in variables.items()}
    known = [("log", "level"), ("tokens", "seconds")]
    return list(add_environment(tree, env, text_paths=frozenset({("log", "level")}), known=known))


def test_tables_are_merged_and_leaves_replaced() -> None:
    tree = Tree()
    tree.set(("a",), {"x": 1, "y": [1, 2], "t": {"z": 1}}, FILE)
    tree.set(("a",), {"y": [3], "t": {"w": 2}}, ENV)
    assert tree.data == {"a": {"x": 1, "y": [3], "t": {"z": 1, "w": 2}}}
    assert tree.origin(("a", "x")) == FILE
    assert tree.origin(("a", "y")) == ENV
    assert tree.origin(("a", "t", "w")) == ENV


def test_a_value_replaces_a_table_whole() -> None:
    tree = Tree()
    tree.set(("a", "t"), {"x": 1}, FILE)
    tree.set(("a", "t"), "text", ENV)
    assert tree.data == {"a": {"t": "text"}}
    assert tree.origins == {("a", "t"): ENV}


def test_nothing_can_be_put_into_a_value() -> None:
    tree = Tree()
    tree.set(("a",), 1, FILE)
    with pytest.raises(ValueError, match="has a value, so nothing can be in it"):
        tree.set(("a", "b"), 2, ENV)


def test_the_origin_of_what_is_inside_or_around_a_value() -> None:
    tree = Tree()
    tree.set(("a", "list"), [1], ENV)
    assert tree.origin(("a", "list", "0")) == ENV
    assert tree.origin(("a",)) == ENV
    assert tree.origin(("b",)) == DEFAULT


def test_the_file_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "etc.toml"
    monkeypatch.setattr(layers, "DEFAULT_FILE", system)
    named = {"CONSOLEKIT_CONFIG": "/named"}
    assert find_file(Path("given"), named) == Path("given")
    assert find_file(None, named) == Path("/named")
    assert find_file(None, {"CONSOLEKIT_CONFIG": ""}) is None
    assert find_file(None, {}) is None
    system.touch()
    assert find_file(None, {}) == system


def test_nothing_of_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "DEFAULT_FILE", tmp_path / "none")
    (tmp_path / "consolekit.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_file(None, {}) is None


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (b"[proxy]\nlisten = nope\n", ":2:10", "is not TOML: invalid value"),
        (b'a = "s3cret', ":end of file", "is not TOML"),
        (b"a = 1\na = 2\n", ":2:6", "is not TOML: cannot overwrite a value"),
        (b"a = '\xff'", "", "is not UTF-8 (at byte 5)"),
        (b"a = " + b"[" * 2000 + b"]" * 2000, "", "is nested over 32 levels deep"),
        (b".".join([b"a"] * 34) + b" = 1", "", "is nested over 32 levels deep"),
        (b"a = 1" + b"0" * 5000, "", "holds a whole number of more than 64 bits"),
        (b"a = [{ b = 0x8000000000000000 }]", "", "holds a whole number of more than 64 bits"),
    ],
)
def test_a_broken_file_is_told_with_its_place(tmp_path: Path, text: bytes, place: str, said: str) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(text)
    with pytest.raises(ConfigError) as failure:
        add_file(Tree(), file)
    (problem,) = failure.value.problems
    assert problem.path.startswith(str(file))
    assert said in problem.message
    assert "s3cret" not in str(problem)
    if not problem.path.endswith(place):  # later Pythons count the end of the file as a position
        assert place == ":end of file"


def test_what_is_just_small_enough(tmp_path: Path) -> None:
    file, tree = tmp_path / "c.toml", Tree()
    deepest = b".".join([b"b"] * 32)
    file.write_bytes(b"a = [9223372036854775807, -9223372036854775808, true]\n" + deepest + b" = 1\n")
    add_file(tree, file)
    assert tree.data["a"] == [2**63 - 1, -(2**63), True]


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read: "):
        add_file(Tree(), tmp_path / name)


def test_variables_are_toml_or_plain_text() -> None:
    tree = Tree()
    assert not environment(
        tree,
        TOKENS__SECONDS="90",
        PROXY__ALLOWED_ORIGINS='["https://a"]',
        PROXY__ALLOW_NO_ORIGIN="false",
        LOG__LEVEL="5",
        TOKENS__PATH="/var/x y",
        A__INJECTED="1\nb = 2",
        A__DIGITS="9" * 20,
        A__MORE="9" * 5000,
        A__BRACKETS="[" * 2000,
    )
    assert tree.data == {
        "tokens": {"seconds": 90, "path": "/var/x y"},
        "proxy": {"allowed_origins": ["https://a"], "allow_no_origin": False},
        "log": {"level": "5"},
        "a": {"injected": "1\nb = 2", "digits": "9" * 20, "more": "9" * 5000, "brackets": "[" * 2000},
    }
    assert tree.origin(("tokens", "seconds")).text == "90"


def test_a_variable_finds_the_key_that_it_cannot_spell() -> None:
    tree = Tree()
    tree.set(("servers",), {"Web-1.lab": {"password": "x"}}, FILE)
    assert not environment(tree, SERVERS__WEB_1_LAB__PASSWORD="new")
    assert tree.data == {"servers": {"Web-1.lab": {"password": "new"}}}


def test_a_variable_that_could_mean_two_keys() -> None:
    tree = Tree()
    tree.set(("servers",), {"a-b": 1, "a.b": 2}, FILE)
    (problem,) = environment(tree, SERVERS__A_B="3")
    assert str(problem) == "environment CONSOLEKIT_SERVERS__A_B: could mean a-b or a.b; set it in the file"


def test_one_underscore_too_few_is_told() -> None:
    (problem,) = environment(Tree(), LOG_LEVEL="debug")
    assert "write CONSOLEKIT_LOG__LEVEL, with two underscores" in problem.message


def test_variables_of_others_are_left_alone() -> None:
    tree = Tree()
    # Kubernetes makes such variables for a service that is named consolekit
    assert not environment(tree, CONFIG="/x", PORT="tcp://10.0.0.1:6080", API_PORT="tcp://x", REQUIRE_ALL="1")
    assert tree.data == {}


def test_a_variable_into_a_value_is_told() -> None:
    tree = Tree()
    tree.set(("a",), 1, FILE)
    (problem,) = environment(tree, A__B="s3cret")
    assert problem.path == "environment CONSOLEKIT_A__B"
    assert "s3cret" not in problem.message


def test_flags() -> None:
    tree = Tree()
    add_flags(tree, {"--listen": (("proxy", "listen"), ":1")})
    assert tree.data == {"proxy": {"listen": ":1"}}
    assert str(tree.origin(("proxy", "listen"))) == "flag --listen"


def test_origins_print_no_value() -> None:
    assert "s3cret" not in repr(Origin(kind="env", name="E", text="s3cret"))
    assert str(DEFAULT) == "default"
