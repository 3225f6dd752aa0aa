"""Config: the model becomes a ConsoleKit: providers, store and hooks by name.

Loads only what the configuration names. One plug-in that fails is a problem at its path and keeps nobody from
the others, so that everything wrong is told at once. Knows no HTTP and opens no port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import attrs

from consolekit.auth.base import TokenIssuer, TokenStore, TokenValidator
from consolekit.auth.stored import SingleUse, StoredTokens
from consolekit.auth.timed import TimedStore
from consolekit.config.annotations import with_paths
from consolekit.config.layers import PathKey, expanded
from consolekit.config.load import Loaded, name_origins
from consolekit.config.model import Config
from consolekit.core.errors import ConfigError, PluginError, Problem
from consolekit.core.hooks import Hooks
from consolekit.core.plugins import HOOKS, PROVIDERS, STORES, VALIDATORS, load, load_object
from consolekit.core.provider import API_VERSION, ConsoleProvider
from consolekit.core.registry import ProviderRegistry
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.timings import Timings
from consolekit.core.types import Clock, SystemClock
from consolekit.kit import ConsoleKit, KitSettings

_Plugin = TypeVar("_Plugin")
_OWN = "own"  # what figures call the gateway's own tokens


@attrs.frozen(kw_only=True)
class BuiltProvider:
    """One configured provider, or why it cannot be used.

    Attributes:
        name: ``NAME`` of ``[providers.NAME]``.
        use: Its entry point.
        provider: None where there are problems.
        problems: What is wrong; empty where there is a provider.
    """

    name: str
    use: str
    provider: ConsoleProvider | None = None
    problems: tuple[Problem, ...] = ()


def build_kit(
    loaded: Loaded, *, clock: Clock | None = None, registry: ProviderRegistry | None = None
) -> ConsoleKit:
    """Make the kit that a configuration describes; opens the token store.

    Args:
        loaded: The configuration.
        clock: Where time comes from; default: the machine's.
        registry: Use these providers and load none; nor any validator but that of our own tokens.

    Raises:
        ConfigError: every plug-in that cannot be used, with its place and the cure.
        StoreUnavailable: the store is locked or away just now.
    """
    config, clock = loaded.config, clock or SystemClock()
    hooks, problems, more = Hooks(), [], dict[str, TokenValidator]()
    if registry is None:
        registry = ProviderRegistry()
        problems = _fill(registry, loaded)
        problems += _add_validators(more, loaded, clock)
        problems += _issuer_problems(more, loaded)
    problems += _register(hooks, config)
    store_class, options, store_problems = _store_class(loaded)
    problems += store_problems
    if problems or store_class is None:
        raise ConfigError(problems)
    timings = Timings(clock)
    store = TimedStore(_open_store(store_class, options, clock), timings)
    tokens = StoredTokens(store, clock=clock, grace_seconds=config.tokens.grace_seconds)
    issuer = more.get(config.tokens.issuer, tokens)
    assert isinstance(issuer, TokenIssuer)  # noqa: S101 - _issuer_problems has looked
    return ConsoleKit(
        registry=registry,
        store=store,
        issuer=issuer,
        validators={_OWN: tokens, **dict(_spent_in(store, more, config, clock))},
        hooks=hooks,
        clock=clock,
        settings=KitSettings(
            base_url=base_url(config),
            base_urls=config.proxy.base_urls,
            token_seconds=config.tokens.seconds,
            session_seconds=config.limits.session_seconds,
        ),
        timings=timings,
    )


def base_url(config: Config) -> str:
    """How browsers reach the proxy: ``proxy.base_url``, or what ``listen`` and ``cert`` come to."""
    scheme = "https" if config.proxy.cert else "http"
    return config.proxy.base_url or f"{scheme}://{config.proxy.listen}"


def plugin_problems(loaded: Loaded) -> list[Problem]:
    """What ``build_kit`` would refuse, found without opening the store."""
    problems = _fill(ProviderRegistry(), loaded) + _register(Hooks(), loaded.config)
    validators: dict[str, TokenValidator] = {}
    problems += _add_validators(validators, loaded, SystemClock())
    problems += _issuer_problems(validators, loaded)
    return problems + _store_class(loaded)[2]


def build_registry(loaded: Loaded) -> ProviderRegistry:
    """The configured providers alone.

    Raises:
        ConfigError: every provider that cannot be used.
    """
    registry = ProviderRegistry()
    if problems := _fill(registry, loaded):
        raise ConfigError(problems)
    return registry


def build_providers(loaded: Loaded) -> Iterator[BuiltProvider]:
    """Each configured provider, or why it cannot be used, in order."""
    shared = Shared()
    for name, section in loaded.config.providers.items():
        try:
            provider = _provider(loaded, name, shared)
        except ConfigError as exc:
            yield BuiltProvider(name=name, use=section.use, problems=exc.problems)
        else:
            yield BuiltProvider(name=name, use=section.use, provider=provider)


def _fill(registry: ProviderRegistry, loaded: Loaded) -> list[Problem]:
    problems: list[Problem] = []
    for built in build_providers(loaded):
        problems += built.problems
        if built.provider is not None:
            registry.add(built.name, built.provider)
    return problems


def _provider(loaded: Loaded, name: str, shared: Shared) -> ConsoleProvider:
    """Load, check and make one provider.

    Raises:
        ConfigError: it cannot be used.
    """
    path, section = f"providers.{name}", loaded.config.providers[name]
    try:
        cls: type[ConsoleProvider] = load(PROVIDERS, section.use, ConsoleProvider, api_version=API_VERSION)
    except PluginError as exc:
        raise ConfigError([_plugin_problem(f"{path}.use", exc)]) from exc
    _check_class(cls, f"{path}.use")
    options = _checked_options(loaded, cls.config_schema, section.options, ("providers", name))
    return _made(lambda: cls.from_config(options, shared=shared), path, "provider")


def _made(make: Callable[[], _Plugin], path: str, kind: str) -> _Plugin:
    """What ``from_config`` gives.

    Raises:
        ConfigError: it refuses the options, or fails.
    """
    try:
        return make()
    except ConfigError as exc:
        raise ConfigError([_inside(path, problem) for problem in exc.problems]) from exc
    except Exception as exc:
        # its text could quote a value, so only its kind is told; --debug shows the rest
        raise ConfigError([Problem(path, f"the {kind} cannot be made of it: {type(exc).__name__}")]) from exc


def _add_validators(found: dict[str, TokenValidator], loaded: Loaded, clock: Clock) -> list[Problem]:
    problems: list[Problem] = []
    for name in loaded.config.validators:
        try:
            found[name] = _validator(loaded, name, clock)
        except ConfigError as exc:
            problems += exc.problems
    return problems


def _issuer_problems(found: Mapping[str, TokenValidator], loaded: Loaded) -> list[Problem]:
    name = loaded.config.tokens.issuer
    if name and name not in loaded.config.validators:
        return [Problem("tokens.issuer", "names none of [validators]")]
    if name in found and not isinstance(found[name], TokenIssuer):
        use = loaded.config.validators[name].use
        return [Problem("tokens.issuer", f"names a validator that makes no tokens: {use} only reads them")]
    return []


def _spent_in(
    store: TokenStore, found: Mapping[str, TokenValidator], config: Config, clock: Clock
) -> Iterator[tuple[str, TokenValidator]]:
    """The validators; those whose tokens are good for one session note that in the store."""
    for name, validator in found.items():
        told = config.validators[name].single_use
        if validator.single_use if told is None else told:
            grace = config.tokens.grace_seconds
            yield name, SingleUse(validator, store, clock=clock, grace_seconds=grace)
        else:
            yield name, validator


def _validator(loaded: Loaded, name: str, clock: Clock) -> TokenValidator:
    """Load, check and make one validator.

    Raises:
        ConfigError: it cannot be used.
    """
    path, section = f"validators.{name}", loaded.config.validators[name]
    if name == _OWN:
        raise ConfigError([Problem(path, "is what the gateway's own tokens are called; choose another name")])
    try:
        cls: type[TokenValidator] = load(VALIDATORS, section.use, TokenValidator)
        options = _checked_options(loaded, cls.config_schema, section.options, ("validators", name))
    except PluginError as exc:
        raise ConfigError([_plugin_problem(f"{path}.use", exc)]) from exc
    except ValueError as exc:
        text = f"this validator's config_schema is {exc}; tell its author"
        raise ConfigError([Problem(f"{path}.use", text)]) from exc
    made = _made(lambda: cls.from_config(options, clock=clock), path, "validator")
    unknown = [word for word in made.provider_names() if word not in loaded.config.providers]
    if unknown:
        raise ConfigError([Problem(path, f"names providers that are not configured: {', '.join(unknown)}")])
    return made


def _check_class(cls: type[ConsoleProvider], path: str) -> None:
    if not cls.keys:
        raise ConfigError([Problem(path, "this provider offers no <protocol, type> pair; tell its author")])
    for attribute in ("config_schema", "params_schema"):
        try:
            validator_of(getattr(cls, attribute))
        except ValueError as exc:
            problem = Problem(path, f"this provider's {attribute} is {exc}; tell its author")
            raise ConfigError([problem]) from exc


def _plugin_problem(path: str, exc: PluginError) -> Problem:
    return Problem(path, f"{exc.name!r}: {exc.reason}" + (f"; {exc.cure}" if exc.cure else ""))


def _inside(path: str, problem: Problem) -> Problem:
    return attrs.evolve(problem, path=f"{path}.{problem.path}" if problem.path else path)


def _checked_options(
    loaded: Loaded, schema: Mapping[str, Any], options: Mapping[str, Any], path: PathKey
) -> dict[str, Any]:
    """A plug-in's own keys, accepted by its schema, paths made absolute.

    Raises:
        ConfigError: the schema refuses them.
    """
    validator = validator_of(schema)
    table = _copy(options)
    problems = problems_of(validator, table, ".".join(path))
    if problems and _use_text(loaded, table, path, {problem.path for problem in problems}):
        problems = problems_of(validator, table, ".".join(path))
    if problems:
        raise ConfigError(name_origins(loaded.tree, problems))

    def resolve(inner: PathKey, text: str) -> str:
        try:
            return str(loaded.tree.origin((*path, *inner)).base / expanded(text))
        except ValueError as exc:
            wrong = Problem(".".join((*path, *inner)), str(exc))
            raise ConfigError(name_origins(loaded.tree, [wrong])) from None

    absolute: dict[str, Any] = with_paths(table, [schema], resolve)
    return absolute


def _use_text(loaded: Loaded, table: dict[str, Any], path: PathKey, refused: set[str]) -> bool:
    """Take variables that TOML reads as something else, but the schema wants as text, for the text they are.

    A password of digits is the usual case.
    """
    changed = False
    for place, origin in loaded.tree.origins.items():
        if place[: len(path)] == path and origin.text is not None and ".".join(place) in refused:
            inner: Any = table
            for part in place[len(path) : -1]:
                inner = inner[part]
            inner[place[-1]] = origin.text
            changed = True
    return changed


def _copy(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _copy(item) for key, item in data.items()}
    return [_copy(item) for item in data] if isinstance(data, list) else data


def _register(hooks: Hooks, config: Config) -> list[Problem]:
    problems: list[Problem] = []
    for name in config.hooks.enabled:
        try:
            plugin = load_object(HOOKS, name)
            hooks.register(plugin() if isinstance(plugin, type) else plugin, name)
        except PluginError as exc:
            problems.append(_plugin_problem("hooks.enabled", exc))
        except Exception as exc:
            problems.append(Problem("hooks.enabled", f"{name!r} cannot be used: {type(exc).__name__}: {exc}"))
    return problems


def _store_class(loaded: Loaded) -> tuple[type[TokenStore] | None, dict[str, Any], list[Problem]]:
    tokens = loaded.config.tokens
    try:
        cls: type[TokenStore] = load(STORES, tokens.store, TokenStore)
        options = _checked_options(loaded, cls.config_schema, tokens.options, ("tokens",))
    except PluginError as exc:
        return None, {}, [_plugin_problem("tokens.store", exc)]
    except ConfigError as exc:
        return None, {}, list(exc.problems)
    except ValueError as exc:
        return None, {}, [Problem("tokens.store", f"this store's config_schema is {exc}; tell its author")]
    try:
        cls.check_config(options)
    except ConfigError as exc:
        return None, {}, _of_tokens(exc)
    return cls, options, []


def _open_store(cls: type[TokenStore], options: dict[str, Any], clock: Clock) -> TokenStore:
    try:
        return cls.from_config(options, clock=clock)
    except ConfigError as exc:
        raise ConfigError(_of_tokens(exc)) from exc


def _of_tokens(exc: ConfigError) -> list[Problem]:
    return [p if p.path.startswith("tokens") else _inside("tokens", p) for p in exc.problems]
