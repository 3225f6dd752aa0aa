"""Plug-ins are found through real ``.dist-info`` folders; each test has an entry-point group of its own."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consolekit.core import plugins
from consolekit.core.errors import (
    DuplicatePlugin,
    IncompatiblePlugin,
    PluginError,
    PluginLoadFailed,
    PluginNotFound,
)
from consolekit.core.provider import API_VERSION, ConsoleProvider

GROUP = "consolekit.tests.group"
_numbers = itertools.count()

PROVIDER = """
from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import ConsoleKey, Endpoint
class Provider(ConsoleProvider):
    keys = (ConsoleKey("vnc", "novnc"),)
    async def open(self, request): return Endpoint(host="192.0.2.1")
"""


@pytest.fixture
def group() -> str:
    """An entry-point group that no other test, and no cache of stevedore's, has seen."""
    return f"{GROUP}{next(_numbers)}"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str) -> Iterator[Callable[..., None]]:
    """Install a distribution with one plug-in; gone after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("stevedore._cache._c._disable_caching", True)  # nothing into ~/.cache
    modules: list[str] = []

    def make(
        name: str, source: str, *, attribute: str = "Provider", distribution: str = "", group: str = group
    ) -> None:
        distribution = distribution or f"dist-{name}"
        module = f"plug_{distribution}_{name}_{next(_numbers)}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source, "utf-8")
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n", "utf-8"
        )
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:{attribute}\n", "utf-8")
        modules.append(module)
        importlib.invalidate_caches()

    yield make
    for module in modules:
        sys.modules.pop(module, None)


Install = Callable[..., None]


def test_a_good_one_is_loaded(group: str, install: Install) -> None:
    install("good", PROVIDER)
    provider = plugins.load(group, "good", ConsoleProvider, api_version=API_VERSION)
    assert issubclass(provider, ConsoleProvider)


def test_listing_says_who_ships_it_and_imports_nothing(group: str, install: Install) -> None:
    install("zeta", "raise SystemExit(3)")
    install("alpha", "raise RuntimeError('no')")
    infos = plugins.installed(group)
    assert [(info.name, info.distribution, info.version) for info in infos] == [
        ("alpha", "dist-alpha", "1.2"),
        ("zeta", "dist-zeta", "1.2"),
    ]
    assert infos[0].target.endswith(":Provider")
    assert not [name for name in sys.modules if name.startswith("plug_dist")]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise SystemExit('bye')", "SystemExit"),
        ("assert False, 'broken'", "AssertionError"),
        ("import nothing_of_that_name", "install the module nothing_of_that_name"),
        ("raise ImportError('half installed')", "ImportError: half installed"),
        ("1/0", "ZeroDivisionError"),
        ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd"),
        ("def (", "SyntaxError"),
        ("Other = 1", "AttributeError"),
    ],
)
def test_whatever_importing_raises_is_one_error_that_names_all(
    group: str, install: Install, source: str, told: str
) -> None:
    install("bad", source)
    install("good", PROVIDER)
    with pytest.raises(PluginLoadFailed) as caught:
        plugins.load(group, "bad", ConsoleProvider)
    assert told in str(caught.value)
    assert (caught.value.group, caught.value.name) == (group, "bad")
    assert caught.value.__cause__ is not None
    assert plugins.load(group, "good", ConsoleProvider), "one bad plug-in took another with it"


def test_ctrl_c_is_not_swallowed(group: str, install: Install) -> None:
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        plugins.load(group, "slow", ConsoleProvider)


def test_only_the_enabled_name_is_imported(group: str, install: Install) -> None:
    install("good", PROVIDER)
    install("evil", "raise SystemExit('imported')")
    plugins.load(group, "good", ConsoleProvider)
    assert not [name for name in sys.modules if "_evil_" in name]


class TestAllowList:
    """``CONSOLEKIT_PLUGINS``."""

    @pytest.mark.parametrize("names", ["good", "other, good", " good ,"])
    def test_what_it_names_is_imported(
        self, group: str, install: Install, monkeypatch: pytest.MonkeyPatch, names: str
    ) -> None:
        install("good", PROVIDER)
        monkeypatch.setenv("CONSOLEKIT_PLUGINS", names)
        assert plugins.load(group, "good", ConsoleProvider)

    @pytest.mark.parametrize("names", ["", ",", "goo", "Good", "*", "good2"])
    def test_what_it_does_not_name_is_not(
        self, group: str, install: Install, monkeypatch: pytest.MonkeyPatch, names: str
    ) -> None:
        install("good", "raise SystemExit('imported')")
        monkeypatch.setenv("CONSOLEKIT_PLUGINS", names)
        for load in (
            lambda: plugins.load(group, "good", ConsoleProvider),
            lambda: plugins.load_object(group, "good"),
        ):
            with pytest.raises(PluginLoadFailed, match=r"CONSOLEKIT_PLUGINS does not name it .*unset"):
                load()
        assert not [name for name in sys.modules if name.startswith("plug_dist")]

    def test_our_own_are_always_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONSOLEKIT_PLUGINS", "")
        assert plugins.load(plugins.PROVIDERS, "vnc", ConsoleProvider)


def test_a_name_that_two_claim_is_nobodys(group: str, install: Install) -> None:
    install("vnc", PROVIDER, distribution="honest")
    install("vnc", PROVIDER, distribution="intruder")
    with pytest.raises(DuplicatePlugin, match=r"claimed by honest 1\.2, intruder 1\.2.*uninstall"):
        plugins.load(group, "vnc", ConsoleProvider)
    with pytest.raises(DuplicatePlugin):
        plugins.load_object(group, "vnc")


def test_an_unknown_name_is_told_the_known_ones(group: str, install: Install) -> None:
    with pytest.raises(PluginNotFound, match="none is installed"):
        plugins.load(group, "vnc", ConsoleProvider)
    install("vnc", PROVIDER)
    with pytest.raises(PluginNotFound, match="installed: vnc"):
        plugins.load(group, "vnx", ConsoleProvider)


@pytest.mark.parametrize("source", ["Provider = 7", "class Provider: pass", "def Provider(): pass"])
def test_what_is_no_subclass_is_refused(group: str, install: Install, source: str) -> None:
    install("odd", source)
    with pytest.raises(PluginLoadFailed, match="not a subclass of ConsoleProvider"):
        plugins.load(group, "odd", ConsoleProvider)


@pytest.mark.parametrize("version", ["0", "2", "'1'", "None"])
def test_another_contract_version_is_refused(group: str, install: Install, version: str) -> None:
    install("old", f"{PROVIDER}    api_version = {version}\n")
    with pytest.raises(IncompatiblePlugin, match=r"contract version .* this is 1"):
        plugins.load(group, "old", ConsoleProvider, api_version=API_VERSION)
    assert plugins.load(group, "old", ConsoleProvider), "asked without a version, it is not looked at"


def test_hooks_may_be_any_object(group: str, install: Install) -> None:
    install("audit", "class Audit: pass\naudit = Audit()", attribute="audit")
    assert type(plugins.load_object(group, "audit")).__name__ == "Audit"


def test_every_failure_is_a_plugin_error(group: str) -> None:
    with pytest.raises(PluginError, match=group):
        plugins.load_object(group, "x")


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (plugins.PROVIDERS, "vnc"),
        (plugins.VALIDATORS, "nova"),
        (plugins.STORES, "memory"),
        (plugins.STORES, "sqlite"),
    ],
)
def test_what_we_ship_is_declared_once(group: str, name: str) -> None:
    assert [info.distribution for info in plugins.installed(group) if info.name == name] == ["consolekit"]


def test_a_plug_in_that_stevedore_does_not_see_is_told_with_a_cure(
    group: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("new", PROVIDER)
    monkeypatch.setattr("stevedore._cache.get_group_all", lambda group, path=None: [])
    with pytest.raises(PluginLoadFailed, match="python-entrypoints"):
        plugins.load(group, "new", ConsoleProvider)
