"""Whatever is written in whatever layer: the uppermost wins, and comes back as it was written."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from consolekit.config.layers import Origin, Tree
from consolekit.config.load import load
from consolekit.config.model import Config
from consolekit.config.show import as_toml, shown
from consolekit.config.structure import structure
from consolekit.config.toml import toml_value
from consolekit.core.errors import ConfigError, Problem

SECONDS = st.integers(1, 600)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
VALUES = {
    "proxy.listen": st.integers(0, 65535).map(lambda port: f"127.0.0.2:{port}"),
    "proxy.allow_no_origin": st.booleans(),
    "proxy.allowed_hosts": st.lists(st.sampled_from(["a", "b:80", "[::1]:8"]), max_size=3),
    "tokens.seconds": SECONDS,
    "tokens.grace_seconds": st.floats(0, 3600) | SECONDS,
    "limits.sessions": st.integers(1, 10**6),
    "log.level": st.sampled_from(["debug", "info", "warning", "error"]),
    "hooks.enabled": st.lists(WORDS, max_size=3),
}
LAYER = st.fixed_dictionaries({}, optional=VALUES)


def variables(layer: dict[str, Any]) -> dict[str, str]:
    return {
        "CONSOLEKIT_" + path.upper().replace(".", "__"): value
        if isinstance(value, str)
        else toml_value(value)
        for path, value in layer.items()
    }


def value_of(config: Config, path: str) -> Any:
    section, _, key = path.partition(".")
    value = getattr(getattr(config, section), key)
    return (
        list(value) if isinstance(value, tuple) else value if isinstance(value, int | float) else str(value)
    )


@given(in_file=LAYER, in_env=LAYER, in_flags=LAYER)
def test_the_uppermost_layer_wins(
    tmp_path_factory: Any, in_file: dict[str, Any], in_env: dict[str, Any], in_flags: dict[str, Any]
) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "layers.toml"
    file.write_text("".join(f"{path} = {toml_value(value)}\n" for path, value in in_file.items()))
    flags = {f"--{path}": (path, value) for path, value in in_flags.items()}
    loaded = load(file, env=variables(in_env), flags=flags)
    untouched = Config()
    for path in VALUES:
        layers = [(in_flags, "flag"), (in_env, "env"), (in_file, "file")]
        expected, kind = next(
            ((layer[path], kind) for layer, kind in layers if path in layer),
            (value_of(untouched, path), "default"),
        )
        assert value_of(loaded.config, path) == expected
        assert loaded.origin(tuple(path.split("."))).kind == kind


@given(layer=LAYER)
def test_what_is_shown_is_what_is_in_force(tmp_path_factory: Any, layer: dict[str, Any]) -> None:
    first = load(env=variables(layer))
    file: Path = tmp_path_factory.getbasetemp() / "shown.toml"
    file.write_text(as_toml(shown(first), origin=True), encoding="utf-8")
    assert load(file, env={}).config == first.config


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just("s3cret-value"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "use", "keys"]), inner),
    max_leaves=8,
)
KEYS = ["proxy", "api", "admin", "tokens", "limits", "timeouts", "log", "hooks", "providers"]
NAMES = ["listen", "keys", "seconds", "store", "enabled", "cert", "level", "sessions", "base_url", "lab"]


@given(st.dictionaries(st.sampled_from(KEYS), PLAIN | st.dictionaries(st.sampled_from(NAMES), PLAIN)))
@examples(300)
def test_any_data_is_a_model_or_a_list_of_problems_that_quotes_nothing(data: dict[str, Any]) -> None:
    found: tuple[Problem, ...] = ()
    try:
        structure(data)
    except ConfigError as exc:
        found = exc.problems or (Problem("", "a ConfigError without a problem"),)
    for problem in found:
        assert "s3cret-value" not in str(problem)
        assert problem.path.split(".")[0] in data


TREES = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
TABLES = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


def overlaid(low: Any, high: Any) -> Any:
    """The rule, said once more and simply: tables merge, everything else is replaced."""
    if isinstance(low, dict) and isinstance(high, dict):
        merged = {key: overlaid(low[key], high[key]) if key in low else high[key] for key in high}
        return {**low, **merged}
    return high


def clash(low: Any, high: Any) -> bool:
    """A table over a value: the one thing that layers cannot mean."""
    if isinstance(high, dict):
        return not isinstance(low, dict) or any(clash(low[key], high[key]) for key in high if key in low)
    return False


@given(low=TABLES, high=TABLES)
def test_merging(low: dict[str, Any], high: dict[str, Any]) -> None:
    tree, refused = Tree(), False
    for table, name in ((low, "low"), (high, "high")):
        for key, value in tomllib.loads(f"x = {toml_value(table)}")["x"].items():
            try:
                tree.set((key,), value, Origin(kind="file", name=name))
            except ValueError:
                refused = True
    assert refused == clash(low, high)
    if not refused:
        assert tree.data == overlaid(low, high)
