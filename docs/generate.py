"""Documentation: the reference tables, made from the code at build time so that they cannot be out of date.

``conf.py`` calls ``write_all`` before anything is read; the pages include what it writes. Knows the package;
knows nothing of Sphinx.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import click
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from consolekit.auth.nova import NovaTokens
from consolekit.auth.redisstore import RedisTokenStore
from consolekit.auth.sealed import SealedTokens
from consolekit.auth.sql import SqlTokenStore
from consolekit.auth.sqlite import SqliteTokenStore, default_path
from consolekit.auth.tokenfile import FileTokens
from consolekit.cli.figures import ParentFigures
from consolekit.cli.main import cli
from consolekit.cli.newprovider import files_of
from consolekit.config import model
from consolekit.core.errors import ConsoleKitError, every_error
from consolekit.core.hookspecs import HookSpecs
from consolekit.core.registry import ProviderRegistry
from consolekit.core.schema import ConsoleSchema
from consolekit.http.callback import HttpTokens
from consolekit.http.callbackreply import REPLY
from consolekit.providers.stream.provider import StreamProvider
from consolekit.providers.vnc.provider import VncProvider
from consolekit.proxy.closecodes import ENDS
from consolekit.proxy.metrics import Metrics, Sources
from consolekit.testing import ProviderContract

ROOT = Path(__file__).parent.parent
OPENAPI = ROOT / "consolekit" / "api" / "openapi.yaml"
TARGET = Path(__file__).parent / "_build" / "generated"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _first_line(item: object) -> str:
    return (inspect.getdoc(item) or "").partition("\n\n")[0].replace("``", "`")


# ---- errors and ends


def errors() -> str:
    """Every error code, once, in the order of the tree."""
    head = ["code", "status", "what the outside reads", "class and meaning"]
    return table(head, map(_error, dict.fromkeys(_tree())))


def _tree(cls: type[ConsoleKitError] = ConsoleKitError) -> Iterable[type[ConsoleKitError]]:
    if every_error().get(cls.code) is cls:
        yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)


def _error(cls: type[ConsoleKitError]) -> list[str]:
    return [f"`{cls.code}`", str(cls.status), cls.title, f"`{cls.__name__}`: {_first_line(cls)}"]


def close_codes() -> str:
    """Every way in which a session ends."""
    rows = (
        [f"`{slug}`", str(end.code), end.title, "yes" if end.resumable else "no"]
        for slug, end in ENDS.items()
    )
    return table(["reason", "close code", "what the page says", "may the same browser come back?"], rows)


# ---- metrics


def metric_families() -> list[Any]:
    """The metrics of a proxy that offers one pair."""
    registry = CollectorRegistry()
    sources = Sources(certificates=lambda: {"proxy": 0.0})
    Metrics(VncProvider.keys, registry=registry, sources=sources, providers=["lab"], validators=["own"])
    ProcessCollector(registry=registry)
    own = ParentFigures(serving=int, leaving=int).collect()
    there = {family.name: family for family in (*registry.collect(), *own)}
    return sorted(there.values(), key=lambda family: family.name)


def metrics() -> str:
    """Every metric with its labels."""
    rows = []
    for family in metric_families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({key for sample in family.samples for key in sample.labels} - {"le"})
        rows.append(
            [
                f"`{name}`",
                family.type,
                ", ".join(f"`{key}`" for key in labels),
                family.documentation.rstrip(".") + ".",
            ]
        )
    return table(["name", "kind", "labels", "what it counts"], rows)


# ---- hooks


def hook_signatures() -> dict[str, str]:
    """Every hook with its exact signature, as an implementation writes it."""
    found = {}
    for name, function in vars(HookSpecs).items():
        if name.startswith("consolekit_"):
            hints = get_type_hints(function)
            names = [key for key in inspect.signature(function).parameters if key != "self"]
            arguments = ", ".join(f"{key}: {_type(hints[key])}" for key in names)
            found[name] = f"def {name}({arguments}) -> {_type(hints['return'])}"
    return found


def _type(hint: Any) -> str:
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint)).replace("NoneType", "None")


def hooks() -> str:
    """A section for every hook."""
    parts = []
    for name, signature in hook_signatures().items():
        text = (inspect.getdoc(getattr(HookSpecs, name)) or "").replace("``", "`")
        parts.append(f"## `{name}`\n\n```python\n@hookimpl\n{signature}: ...\n```\n\n{text}\n")
    return "\n".join(parts)


# ---- configuration


def configuration() -> str:
    """A section for every table of the file, every key with its default and its variable."""
    found = {setting.path: setting for setting in model.settings()}
    parts = []
    for name, section in get_type_hints(model.Config).items():
        if not attrs.has(section):
            continue
        rows = [
            [f"`{s.path.partition('.')[2]}`", _default(s.default), s.doc, f"`{s.env}`"]
            for s in found.values()
            if s.path.startswith(f"{name}.")
        ]
        head = ["key", "default", "what it decides", "variable"]
        parts.append(f"## `[{name}]`\n\n{_first_line(section)}\n\n{table(head, rows)}")
        if name == "tokens":
            parts += [_sqlite(), _sql(), _redis()]
        if name == "api":
            parts.append(f"### `[api.keys.NAME]`\n\n{_first_line(model.ApiKey)}\n\n{_fields(model.ApiKey)}")
    provider = f"{_first_line(model.ProviderConfig)}\n\n{_fields(model.ProviderConfig)}"
    validator = f"{_first_line(model.ValidatorConfig)}\n\n{_fields(model.ValidatorConfig)}"
    parts += [f"## `[providers.NAME]`\n\n{provider}", _vnc(), _stream()]
    return "\n".join([*parts, f"## `[validators.NAME]`\n\n{validator}", _file(), _http(), _sealed(), _nova()])


def _default(value: Any) -> str:
    if value in (None, "", ()):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _fields(section: type[attrs.AttrsInstance]) -> str:
    rows = [
        [f"`{field.name}`", _required(field.default), field.metadata["doc"]]
        for field in attrs.fields(section)
        if "doc" in field.metadata
    ]
    return table(["key", "default", "what it decides"], rows)


def _required(default: Any) -> str:
    if default is attrs.NOTHING:
        return "required"
    return f"`{json.dumps(default)}`" if isinstance(default, tuple | str) else _default(default)


def _sqlite() -> str:
    """The store's own keys; what it says of none is said here."""
    (name,) = SqliteTokenStore.config_schema["properties"]
    text = f"The file. Default: {_first_line(default_path)[0].lower()}{_first_line(default_path)[1:]}"
    text += " `/var/lib/consolekit/consolekit.db`, or `consolekit/consolekit.db` in `$XDG_STATE_HOME`."
    rows = [[f"`{name}`", "see there", text]]
    return f'### With `store = "sqlite"`\n\n{table(["key", "default", "what it decides"], rows)}'


def _sql() -> str:
    return f'### With `store = "sql"`\n\n{_properties(SqlTokenStore.config_schema)}'


def _redis() -> str:
    return f'### With `store = "redis"`\n\n{_properties(RedisTokenStore.config_schema)}'


def _vnc() -> str:
    schema = VncProvider.config_schema
    server = schema["properties"]["servers"]["additionalProperties"]
    tls = server["properties"]["tls"]
    return (
        '### `use = "vnc"`: `[providers.NAME.servers.SERVER_ID]`\n\n'
        f"{schema['properties']['servers']['description']}\n\n{_properties(server)}\n"
        f"#### `[providers.NAME.servers.SERVER_ID.tls]`\n\n{tls['description']}\n\n{_properties(tls)}"
    )


def _stream() -> str:
    schema = StreamProvider.config_schema
    server = schema["properties"]["servers"]["additionalProperties"]
    tls, adopt = server["properties"]["tls"], schema["properties"]["adopt"]
    return (
        '### `use = "serial"` and `use = "spice"`: `[providers.NAME.servers.SERVER_ID]`\n\n'
        f"{schema['properties']['servers']['description']}\n\n{_properties(server)}\n"
        f"`tls` holds the keys of VNC's, but for `allow_anonymous`. {tls['description']}\n\n"
        f"#### `[providers.NAME.adopt]`\n\n{adopt['description']}\n\n{_properties(adopt)}"
    )


def _sealed() -> str:
    return f'### `use = "sealed"`\n\n{_properties(SealedTokens.config_schema)}'


def _nova() -> str:
    schema = NovaTokens.config_schema
    auth = schema["properties"]["auth"]
    return (
        f'### `use = "nova"`\n\n{_properties(schema)}\n'
        f"#### `[validators.NAME.auth]`\n\n{auth['description']}\n\n{_properties(auth)}"
    )


def _file() -> str:
    return f'### `use = "file"`\n\n{_properties(FileTokens.config_schema)}'


def _http() -> str:
    return f'### `use = "http"`\n\n{_properties(HttpTokens.config_schema)}'


def token_reply() -> str:
    """What a token service may answer."""
    place = REPLY["properties"]["target"]
    rows = [*_rows(REPLY, ""), *_rows(place, "target.")]
    return table(["member", "default", "what it says"], rows)


def _rows(schema: Mapping[str, Any], prefix: str) -> Iterable[list[str]]:
    for name, rule in schema["properties"].items():
        default = "required" if name in schema["required"] else _default(rule.get("default"))
        yield [f"`{prefix}{name}`", default, rule["description"]]


def _properties(schema: Mapping[str, Any]) -> str:
    rows = []
    for name, rule in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default(rule.get("default"))
        rows.append([f"`{name}`", default, rule.get("description", "")])
    return table(["key", "default", "what it decides"], rows)


# ---- command line

Described = tuple[str, click.Command, click.Context]


def commands() -> Iterable[Described]:
    """Every command with its whole name, the program itself first."""
    return _inside(cli, "consolekit", None)


def _inside(command: click.Command, name: str, parent: click.Context | None) -> Iterable[Described]:
    settings = {**command.context_settings, "terminal_width": 96}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _inside(found, inner, context)


def command_line() -> str:
    """What ``--help`` says, of every command."""
    parts = []
    for name, command, context in commands():
        with context:
            help_text = click.unstyle(command.get_help(context))
        parts.append(f"## {name}\n\n```text\n{help_text}\n```\n")
    return "\n".join(parts)


# ---- schema and REST


def schema() -> str:
    """The composed schema of a gateway with VNC servers, and Nova's view of it."""
    registry = ProviderRegistry()
    registry.add("vnc", VncProvider(servers={}))
    composed = ConsoleSchema(registry)
    blocks = [composed.document(), composed.nova_document()]
    ours, novas = (f"```json\n{json.dumps(block, indent=2)}\n```\n" for block in blocks)
    return f"## A console request\n\n{ours}\n## The same pairs in Nova's call\n\n{novas}"


def operations() -> list[tuple[str, str, Mapping[str, Any]]]:
    """Every operation of the API: method, path, what OpenAPI says of it."""
    document = yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))
    verbs = ("get", "post", "put", "patch", "delete")
    return [
        (verb.upper(), path, item[verb])
        for path, item in document["paths"].items()
        for verb in verbs
        if verb in item
    ]


def rest() -> str:
    """Every operation with its answers."""
    rows = [
        [f"`{method} {path}`", operation["summary"], ", ".join(map(str, operation["responses"]))]
        for method, path, operation in operations()
    ]
    return table(["call", "what it does", "answers"], rows)


# ---- a provider's package


def new_provider_class() -> str:
    """The class that ``consolekit new-provider acme`` writes, as far as its contract goes."""
    text = files_of("acme")["consolekit_acme.py"]
    return _code("python", text[text.index("class AcmeProvider") : text.index("    async def _console")])


def new_provider_tests() -> str:
    """How it is put under the contract."""
    text = files_of("acme")["tests/test_acme.py"]
    return _code("python", text[text.index("class TestContract") : text.index("def test_a_wrong_token")])


def new_provider_entry_point() -> str:
    """How it is registered."""
    text = files_of("acme")["pyproject.toml"]
    return _code("toml", text[text.index("# What operators") : text.index("[tool.hatch")])


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text.strip()}\n```\n"


def provider_checks() -> str:
    """Every check of the contract."""
    names = sorted(name for name in dir(ProviderContract) if name.startswith("test_"))
    return table(
        ["check", "what is right"],
        [[f"`{name.removeprefix('test_')}`", _first_line(getattr(ProviderContract, name))] for name in names],
    )


PAGES: dict[str, Callable[[], str]] = {
    "cli": command_line,
    "errors": errors,
    "close-codes": close_codes,
    "metrics": metrics,
    "hooks": hooks,
    "configuration": configuration,
    "schema": schema,
    "rest": rest,
    "token-reply": token_reply,
    "new-provider-class": new_provider_class,
    "new-provider-tests": new_provider_tests,
    "new-provider-entry-point": new_provider_entry_point,
    "provider-checks": provider_checks,
}


def write_all(target: Path = TARGET) -> None:
    """Write every fragment; a file that would not change is left alone, so that Sphinx rebuilds less."""
    target.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        file, text = target / f"{name}.md", make()
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
