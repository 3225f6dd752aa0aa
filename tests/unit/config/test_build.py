"""config.build: a kit from a configuration; each plug-in's failure at its path, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from consolekit.auth.stored import SingleUse
from consolekit.config import build
from consolekit.config.build import base_url, build_kit, build_providers, build_registry, plugin_problems
from consolekit.config.load import Loaded, load
from consolekit.core.errors import ConfigError, PluginLoadFailed, PluginNotFound, Problem
from consolekit.core.provider import ConsoleProvider
from consolekit.core.registry import ProviderRegistry
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint
from consolekit.testing.clock import ManualClock


class FakeProvider(ConsoleProvider):
    keys = (ConsoleKey("vnc", "novnc"),)
    config_schema: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "password": {"type": "string"},
            "ca": {"type": "string", "format": "path"},
            "hosts": {"type": "object", "additionalProperties": {"properties": {"pin": {"type": "string"}}}},
        },
        "additionalProperties": False,
    }

    def __init__(self, **options: Any) -> None:
        self.options = options

    async def open(self, request: ConsoleRequest) -> Endpoint:
        raise NotImplementedError


class Picky(FakeProvider):
    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Picky:
        raise ConfigError([Problem("hosts.a", "is wrong"), Problem("", "is no good")])


class Crashing(FakeProvider):
    def __init__(self, **options: Any) -> None:
        raise ValueError(f"cannot use {options}")


class Keyless(FakeProvider):
    keys = ()


class NoSchema(FakeProvider):
    config_schema: ClassVar[Mapping[str, Any]] = {"type": 5}


class NoParams(FakeProvider):
    params_schema: ClassVar[Mapping[str, Any]] = {"type": 5}


PLUGINS = {cls.__name__: cls for cls in (FakeProvider, Picky, Crashing, Keyless, NoSchema, NoParams)}


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    real = build.load

    def fake(group: str, name: str, expected: type, **rest: Any) -> type:
        if group != build.PROVIDERS:
            return real(group, name, expected, **rest)
        if name == "broken":
            raise PluginLoadFailed(group, name, "importing it raised ImportError: x", "pip install x")
        if name not in PLUGINS:
            raise PluginNotFound(group, name, "no installed package offers it", "installed: FakeProvider")
        return PLUGINS[name]

    monkeypatch.setattr(build, "load", fake)


def configured(tmp_path: Path, text: str, **env: str) -> Loaded:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return load(file, env={f"CONSOLEKIT_{name}": value for name, value in env.items()})


def problems(loaded: Loaded) -> list[str]:
    return [str(problem) for problem in plugin_problems(loaded)]


MEMORY = '[tokens]\nstore = "memory"\nseconds = 90\n'


async def test_a_whole_kit(tmp_path: Path) -> None:
    text = MEMORY + '[providers.b]\nuse = "FakeProvider"\n[providers.a]\nuse = "FakeProvider"\n'
    clock = ManualClock()
    kit = build_kit(configured(tmp_path, text), clock=clock)
    assert [name for name, _ in kit.registry] == ["b", "a"]
    assert kit.clock is clock
    assert kit.settings.token_seconds == 90
    assert kit.settings.base_url == "http://127.0.0.1:6080"
    assert [kit.issuer] == list(kit.validators)
    await kit.aclose()


async def test_providers_of_the_caller(tmp_path: Path) -> None:
    registry = ProviderRegistry()
    kit = build_kit(configured(tmp_path, MEMORY + '[providers.x]\nuse = "broken"\n'), registry=registry)
    assert kit.registry is registry
    await kit.aclose()


def test_base_url(tmp_path: Path) -> None:
    assert base_url(configured(tmp_path, '[proxy]\ncert = "c"\n').config) == "https://127.0.0.1:6080"
    assert base_url(configured(tmp_path, '[proxy]\nbase_url = "https://a/x"\n').config) == "https://a/x"


def test_paths_are_absolute_by_where_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    loaded = configured(
        tmp_path,
        '[providers.a]\nuse = "FakeProvider"\nca = "ca.pem"\n[providers.b]\nuse = "FakeProvider"\n',
        PROVIDERS__B__CA="ca.pem",
    )
    made = dict(build_registry(loaded))
    assert made["a"].options == {"ca": str(tmp_path / "ca.pem")}  # type: ignore[attr-defined]  # our fake
    assert made["b"].options == {"ca": str(tmp_path / "here" / "ca.pem")}  # type: ignore[attr-defined]  # too


def test_the_home_of_nobody_is_told_with_its_key(tmp_path: Path) -> None:
    loaded = configured(tmp_path, '[providers.a]\nuse = "FakeProvider"\nca = "~nobody-of-this-name/ca.pem"\n')
    assert problems(loaded) == [
        "providers.a.ca: begins with the home directory of somebody who is not known here"
    ]


def test_a_password_of_digits_from_the_environment_is_text(tmp_path: Path) -> None:
    loaded = configured(
        tmp_path,
        '[providers.a]\nuse = "FakeProvider"\n[providers.a.hosts.web-1]\n',
        PROVIDERS__A__PASSWORD="0123",
        PROVIDERS__A__HOSTS__WEB_1__PIN="true",
    )
    (built,) = build_providers(loaded)
    assert built.provider is not None
    assert built.provider.options == {"password": "0123", "hosts": {"web-1": {"pin": "true"}}}  # type: ignore[attr-defined]  # our fake


def test_a_number_in_the_file_is_no_password(tmp_path: Path) -> None:
    loaded = configured(tmp_path, '[providers.a]\nuse = "FakeProvider"\npassword = 5\n')
    assert problems(loaded) == ["providers.a.password: must be of type string"]


def test_every_failure_at_its_path_and_the_others_go_on(tmp_path: Path) -> None:
    uses = ["nope", "broken", "Picky", "Crashing", "Keyless", "NoSchema", "NoParams", "FakeProvider"]
    tables = "".join(f'[providers.p{n}]\nuse = "{use}"\n' for n, use in enumerate(uses))
    text = MEMORY + 'pth = "x"\n' + tables + 'pasword = "s3cret"\n[hooks]\nenabled = ["nohook"]\n'
    loaded = configured(tmp_path, text, PROVIDERS__P3__PASSWORD="s3cret")
    found = problems(loaded)
    assert found == [
        "providers.p0.use: 'nope': no installed package offers it; installed: FakeProvider",
        "providers.p1.use: 'broken': importing it raised ImportError: x; pip install x",
        "providers.p2.hosts.a: is wrong",
        "providers.p2: is no good",
        "providers.p3: the provider cannot be made of it: ValueError",
        "providers.p4.use: this provider offers no <protocol, type> pair; tell its author",
        next(line for line in found if line.startswith("providers.p5.use: this provider's config_schema is")),
        next(line for line in found if line.startswith("providers.p6.use: this provider's params_schema is")),
        "providers.p7.pasword: is not known here; known: ca, hosts, password",
        "hooks.enabled: 'nohook': no installed package offers it; installed: otel",
        "tokens.pth: is not known here",
    ]
    assert "s3cret" not in str(found)
    with pytest.raises(ConfigError) as failure:
        build_kit(loaded)
    assert [str(problem) for problem in failure.value.problems] == found


def test_a_store_that_is_not_installed(tmp_path: Path) -> None:
    (problem,) = problems(configured(tmp_path, '[tokens]\nstore = "floppy"\n'))
    assert problem.startswith("tokens.store: 'floppy': no installed package offers it; installed: memory, ")


def test_the_stores_file_that_cannot_be_opened_is_told_at_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failure:
        build_kit(configured(tmp_path, f'[tokens]\npath = "{tmp_path}"\n'))
    assert {problem.path for problem in failure.value.problems} == {"tokens.path"}


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ('url = "oracle://u:s3cret@h/d"', "tokens.url"),
        ('url = "postgresql://u:s3cret@h/d"\npassword_file = "gone"', "tokens.password_file"),
        ('path = "x"', "tokens.path"),
    ],
    ids=["url", "file", "key"],
)
def test_a_stores_own_checks_are_made_without_opening_it(tmp_path: Path, options: str, path: str) -> None:
    loaded = configured(tmp_path, f'[tokens]\nstore = "sql"\n{options}\n')
    found = problems(loaded)
    assert [problem.partition(":")[0] for problem in found] == [path]
    assert "s3cret" not in str(found)
    with pytest.raises(ConfigError) as failure:
        build_kit(loaded)
    assert [str(problem) for problem in failure.value.problems] == found


def test_checking_opens_no_store(tmp_path: Path) -> None:
    assert problems(configured(tmp_path, f'[tokens]\npath = "{tmp_path}/x.db"\n')) == []
    assert not (tmp_path / "x.db").exists()


class Listener:
    """A hook plug-in as a class."""


def test_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_object", lambda group, name: Listener if name == "cls" else Listener())
    kit = build_kit(configured(tmp_path, MEMORY + '[hooks]\nenabled = ["cls", "obj"]\n'))
    assert kit.hooks.names() == ["cls", "obj"]


def test_a_hook_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_object", lambda group, name: Listener())
    loaded = configured(tmp_path, MEMORY + '[hooks]\nenabled = ["a", "a"]\n')
    (problem,) = plugin_problems(loaded)
    assert str(problem).startswith("hooks.enabled: 'a' cannot be used: ValueError")


NOVA = """
[providers.lab]
use = "FakeProvider"
[validators.cloud]
use = "nova"
[validators.cloud.auth]
auth_url = "http://127.0.0.1:5000/v3"
username = "consoles"
password = "s3cret"
"""


class TestValidators:
    """``[validators.NAME]``: whose tokens are good besides our own."""

    async def test_are_asked_after_our_own(self, tmp_path: Path) -> None:
        text = NOVA.replace('use = "nova"', 'use = "nova"\nvnc_provider = "lab"')
        kit = build_kit(configured(tmp_path, MEMORY + text))
        own, cloud = kit.validators
        assert own is kit.issuer
        assert list(cloud.provider_names()) == ["lab"]
        await kit.aclose()

    def test_one_that_is_not_installed(self, tmp_path: Path) -> None:
        (problem,) = problems(configured(tmp_path, '[validators.cloud]\nuse = "keystone"\n'))
        assert problem.startswith(
            "validators.cloud.use: 'keystone': no installed package offers it; installed: "
        )
        assert "nova" in problem

    def test_its_table_is_held_to_its_schema(self, tmp_path: Path) -> None:
        text = NOVA.replace('use = "nova"', 'use = "nova"\nsecond = 5\nseconds = 0')
        found = problems(configured(tmp_path, text))
        assert {line.partition(":")[0] for line in found} == {
            "validators.cloud.second",
            "validators.cloud.seconds",
        }

    def test_it_needs_its_login(self, tmp_path: Path) -> None:
        (problem,) = problems(configured(tmp_path, '[validators.cloud]\nuse = "nova"\n'))
        assert problem.startswith("validators.cloud.auth: ")

    def test_providers_that_nobody_configured_are_refused(self, tmp_path: Path) -> None:
        names = 'use = "nova"\nvnc_provider = "lab"\nmks_provider = "esx"'
        loaded = configured(tmp_path, NOVA.replace('use = "nova"', names))
        assert problems(loaded) == ["validators.cloud: names providers that are not configured: esx"]
        with pytest.raises(ConfigError):
            build_kit(loaded)

    @pytest.mark.parametrize(
        ("told", "spent"), [("", False), ("single_use = true", True), ("single_use = false", False)]
    )
    async def test_tokens_are_spent_in_the_store_where_that_is_told(
        self, tmp_path: Path, told: str, spent: bool
    ) -> None:
        text = NOVA.replace('use = "nova"', f'use = "nova"\nvnc_provider = "lab"\n{told}')
        kit = build_kit(configured(tmp_path, MEMORY + text))
        _, cloud = kit.validators
        assert isinstance(cloud, SingleUse) is spent
        assert list(cloud.provider_names()) == ["lab"]
        await kit.aclose()

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("gone", "tokens.issuer: names none of [validators]"),
            ("cloud", "tokens.issuer: names a validator that makes no tokens: nova only reads them"),
        ],
    )
    def test_an_issuer_is_one_that_makes_tokens(self, tmp_path: Path, name: str, problem: str) -> None:
        text = MEMORY.replace("[tokens]", f'[tokens]\nissuer = "{name}"') + NOVA
        loaded = configured(tmp_path, text)
        assert problem in problems(loaded)
        with pytest.raises(ConfigError):
            build_kit(loaded)

    def test_no_refusal_quotes_a_password(self, tmp_path: Path) -> None:
        text = NOVA.replace('password = "s3cret"', 'password = ["s3cret"]')
        (problem,) = problems(configured(tmp_path, text))
        assert problem.startswith("validators.cloud.auth.password: ")
        assert "s3cret" not in problem
