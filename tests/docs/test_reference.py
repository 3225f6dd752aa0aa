"""The reference is whole: whatever is public and stays is on its page, and every page can be reached."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import attrs
import click
import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

import consolekit
from consolekit.cli.figures import ParentFigures
from consolekit.config import model
from consolekit.core import errors as core_errors
from consolekit.core.hookspecs import HookSpecs
from consolekit.core.plugins import HOOKS, PROVIDERS, STORES, VALIDATORS
from consolekit.http.callbackreply import REPLY
from consolekit.proxy.closecodes import ENDS
from consolekit.proxy.metrics import Metrics, Sources

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
READERS = ("operator", "integrator", "provider author", "everybody")
PAGES = sorted(
    path.relative_to(DOCS) for path in DOCS.rglob("*.md") if "_build" not in path.relative_to(DOCS).parts
)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(generate: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every fragment, as the build writes it."""
    folder = tmp_path_factory.mktemp("generated")
    generate.write_all(folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


# ---- what is public is there


def error_classes() -> list[type[core_errors.ConsoleKitError]]:
    return [
        value
        for name, value in vars(core_errors).items()
        if inspect.isclass(value)
        and issubclass(value, core_errors.ConsoleKitError)
        and not name.startswith("_")
    ]


def test_every_error_with_code_and_status(made: dict[str, str]) -> None:
    for cls in error_classes():
        assert re.search(rf"\| `{cls.code}` \| {cls.status} \|.*`{cls.__name__}`", made["errors"]), cls


def test_every_end_with_its_close_code(made: dict[str, str]) -> None:
    for slug, end in ENDS.items():
        assert f"| `{slug}` | {end.code} |" in made["close-codes"]


def test_every_metric(made: dict[str, str]) -> None:
    registry = CollectorRegistry()
    Metrics([consolekit.ConsoleKey("vnc", "novnc")], registry=registry, sources=Sources())
    ProcessCollector(registry=registry)
    families = [*registry.collect(), *ParentFigures(serving=int, leaving=int).collect()]
    assert families
    for family in families:
        assert re.search(rf"\| `{family.name}(_total)?` \| {family.type} \|", made["metrics"]), family.name


def test_every_hook_with_its_exact_signature(made: dict[str, str]) -> None:
    names = [name for name in vars(HookSpecs) if name.startswith("consolekit_")]
    assert names
    for name in names:
        shown = re.search(rf"def {name}\((.*)\) -> ", made["hooks"])
        assert shown, name
        parameters = [part.partition(":")[0].strip() for part in shown[1].split(",")]
        assert parameters == list(inspect.signature(getattr(HookSpecs, name)).parameters)[1:]


def config_keys() -> list[tuple[str, str]]:
    sections = {name: kind for name, kind in get_type_hints(model.Config).items() if attrs.has(kind)}
    return [
        (name, field.name)
        for name, section in sections.items()
        for field in attrs.fields(section)
        if field.name not in ("options", "keys")
    ]


def test_every_configuration_key_in_its_section(made: dict[str, str]) -> None:
    sections = {part.partition("`\n")[0]: part for part in made["configuration"].split("\n## `[")}
    by_name = {name.strip("#` []"): text for name, text in sections.items()}
    assert len(config_keys()) > 30
    for section, key in config_keys():
        assert f"| `{key}` |" in by_name[section], f"{section}.{key}"
        assert f"`CONSOLEKIT_{section}__{key}`".upper() in by_name[section].upper()
    for key in ("sha256", "servers", "subjects"):
        assert f"| `{key}` |" in by_name["api"]
    for key in ("address", "password_file", "ca_file", "pin_sha256"):
        assert f"| `{key}` |" in by_name["providers.NAME"]
    kinds = [f"{kind}_provider" for kind in ("vnc", "spice", "serial", "mks")]
    ours = ("path", "url", "secret_file", "pattern", "console")
    for key in ("auth_url", "password_file", "seconds", *kinds, *ours):
        assert f"| `{key}` |" in by_name["validators.NAME"]


def test_every_member_of_a_token_service_s_answer(made: dict[str, str]) -> None:
    for name in (*REPLY["properties"], "target.host", "target.port", "target.access"):
        assert f"| `{name}` |" in made["token-reply"]


def test_every_api_operation(made: dict[str, str], generate: ModuleType) -> None:
    from consolekit.api.app import ROUTES

    shown = {path for _, path, _ in generate.operations()}
    assert shown == set(ROUTES)
    for method, path, _ in generate.operations():
        assert f"`{method} {path}`" in made["rest"]


def test_every_command_with_its_options(made: dict[str, str], generate: ModuleType) -> None:
    found = list(generate.commands())
    assert {"consolekit demo", "consolekit config check", "consolekit sessions kill"} <= {
        n for n, *_ in found
    }
    for name, command, context in found:
        section = re.search(
            rf"^## {re.escape(name)}\n\n```text\n(.*?)^```", made["cli"], re.DOTALL | re.MULTILINE
        )
        assert section, name
        options = [o for o in command.get_params(context) if isinstance(o, click.Option) and not o.hidden]
        assert not [o.opts for o in options if not all(word in section[1] for word in o.opts)], name


@pytest.mark.parametrize("group", [PROVIDERS, VALIDATORS, STORES, HOOKS])
def test_every_entry_point_group(group: str) -> None:
    assert any(f"`{group}`" in text_of(str(page)) for page in PAGES)


def test_every_public_name_is_in_the_api_page() -> None:
    page = text_of("reference/api.md")
    names = set(consolekit.__all__) - {"__version__"}
    assert not [name for name in names if not re.search(rf"\b{name}\b", page)]


# ---- pages


def test_every_fragment_is_included(generate: ModuleType) -> None:
    pages = "".join(text_of(str(page)) for page in PAGES)
    assert not [name for name in generate.PAGES if f"_build/generated/{name}.md" not in pages]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_page_names_its_reader(page: Path) -> None:
    head = "\n".join(text_of(str(page)).splitlines()[:8])
    assert re.search(r"^\*For .*\.\*$", head, re.MULTILINE), f"docs/{page} does not begin with *For ....*"
    assert any(reader in head.lower() for reader in READERS)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "index.md"], ids=str)
def test_every_page_is_in_the_index(page: Path) -> None:
    assert str(page.with_suffix("")) in text_of("index.md")


INCLUDED = re.compile(r"```\{literalinclude\} (\S+)\n((?::.*\n)*)")


def test_whatever_is_included_is_there() -> None:
    """And its markers too; the build would say so as well, but the build is not part of the tests."""
    for page in PAGES:
        for target, options in INCLUDED.findall(text_of(str(page))):
            file = (DOCS / page).parent / target
            assert file.is_file(), f"docs/{page}: {target}"
            for marker in re.findall(r":(?:start-after|end-before): (.+)", options):
                assert marker.strip('" ') in file.read_text(encoding="utf-8"), f"docs/{page}: {marker}"


LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "deploy/README.md"]
)
def test_links_of_the_front_pages_lead_somewhere(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not [link for link in LINK.findall(text) if not (ROOT / file).parent.joinpath(link).exists()]
