"""Testing: what a provider declares and what it takes: pairs, schemas, parameters, the operator's table.

The first half of ``ProviderContract``. Knows no particular provider; nothing is opened.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

from consolekit.core.errors import ConfigError, InvalidRequest, Problem
from consolekit.core.provider import API_VERSION, ConsoleProvider
from consolekit.core.registry import ProviderRegistry
from consolekit.core.schema import ConsoleSchema, problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, Mode
from consolekit.testing.providerchecks import ProviderChecks, check

_UNKNOWN: Final = "consolekit-unknown-key"
_ODD: Final[tuple[Any, ...]] = (None, [], {}, "", -1, 0.5, True, "\0", "x" * 70_000, [[]], {"a": {}}, 10**30)
_SCHEMAS: Final = ("config_schema", "params_schema")
_WAITING: Final = ("check", "open", "adopt", "connect_info", "close", "aclose")
_PLAIN: Final = ("handshake", "named", "refused", "refused", "viewer_filter", "from_config")


class ProviderForms(ProviderChecks):
    """The rules of what is said before anything is opened, each with a name."""

    @check
    async def test_it_is_written_for_this_contract(self, provider: ConsoleProvider) -> None:
        """Its class, its version, and which of its methods wait."""
        assert isinstance(provider, ConsoleProvider), (
            f"make_provider gave a {type(provider).__name__}: give a ConsoleProvider"
        )
        assert provider.api_version == API_VERSION, (
            f"api_version is {provider.api_version!r}, and this consolekit loads {API_VERSION}: leave it "
            "out, or change the provider to this contract"
        )
        for name in _WAITING:
            assert inspect.iscoroutinefunction(getattr(provider, name)), f"{name} must be `async def`"
        for name in _PLAIN:
            assert not inspect.iscoroutinefunction(getattr(provider, name)), f"{name} must be a plain `def`"

    @check
    async def test_its_keys_are_pairs(self, provider: ConsoleProvider) -> None:
        """What it offers, what it refuses with a reason, and what viewers may do."""
        keys, refused = provider.keys, provider.refused_keys
        assert isinstance(keys, tuple), "keys must be a tuple"
        assert keys, "keys must hold one pair at least"
        for key in (*keys, *refused):
            assert isinstance(key, ConsoleKey), f'{key!r} must be written ConsoleKey("protocol", "type")'
        assert len(set(keys)) == len(keys), "keys holds a pair twice"
        assert not set(keys) & set(refused), "refused_keys holds a pair that keys offers"
        for key, why in refused.items():
            assert isinstance(why, str), f"refused_keys[{key}] must say why, and what to use instead"
            assert why.strip(), f"refused_keys[{key}] must say why, and what to use instead"
        assert isinstance(provider.modes, tuple), "modes must be a tuple of Mode"
        assert Mode.INTERACT in provider.modes, "modes must hold Mode.INTERACT"
        assert all(isinstance(mode, Mode) for mode in provider.modes), "modes must be a tuple of Mode"

    @check
    async def test_its_schemas_are_json_schema(self, provider: ConsoleProvider) -> None:
        """2020-12, with nothing to fetch, of an object."""
        for name in _SCHEMAS:
            schema = getattr(provider, name)
            try:
                validator_of(schema)
            except ValueError as exc:
                raise AssertionError(f"{name} is {exc}") from None
            outside = [ref for ref in _references(schema) if not ref.startswith("#")]
            assert not outside, f"{name} refers to what would be fetched: {outside}; put it into $defs"
            assert schema.get("type") == "object", f'{name} must have "type": "object"'

    @check
    async def test_its_schemas_are_closed(self, provider: ConsoleProvider) -> None:
        """A key that is not known, such as one with a typing error, is refused and not passed over."""
        for name in _SCHEMAS:
            for place in _open_places(getattr(provider, name), name):
                assert place in self.open_schemas, (
                    f'{place} takes keys that it does not name: add "additionalProperties": False, or '
                    "list it in open_schemas"
                )

    @check
    async def test_good_parameters_are_accepted(self, provider: ConsoleProvider) -> None:
        """Each of valid_params makes a request."""
        for number, params in enumerate(self.valid_params):
            problems = self._refusal(provider, params)
            assert not problems, f"valid_params[{number}] is refused: {_listed(problems)}"

    @check
    async def test_wrong_parameters_are_refused_with_their_place(self, provider: ConsoleProvider) -> None:
        """Each of wrong_params, a key that nobody knows, and values that nobody means."""
        for number, (params, place) in enumerate(self.wrong_params):
            _demand(self._refusal(provider, params), _within(place, "params"), f"wrong_params[{number}]")
        for params in self.valid_params:
            if "params_schema" not in self.open_schemas:
                more = self._refusal(provider, {**params, _UNKNOWN: 1})
                _demand(more, f"params.{_UNKNOWN}", "a parameter that params_schema does not name")

    @check
    async def test_every_parameter_has_a_rule(self, provider: ConsoleProvider) -> None:
        """One that takes anything at all is passed on to the hypervisor as anything at all."""
        for name in provider.params_schema.get("properties", {}):
            having = [params for params in self.valid_params if name in params]
            assert having, f"valid_params tries no parameter {name}: add one with it"
            refused = [self._refusal(provider, {**having[0], name: odd}) for odd in _ODD]
            assert any(refused), f'parameter {name} takes anything: give it a "type" and bounds'
            _demand(tuple(chain(*refused)), f"params.{name}", f"a wrong value of {name}")

    @check
    async def test_a_right_table_is_accepted(self, provider: ConsoleProvider) -> None:
        """What config() gives makes a provider, as an operator's table does."""
        table = self.config()
        if table is None:
            return
        problems = problems_of(validator_of(provider.config_schema), dict(table))
        assert not problems, f"config() is refused by config_schema: {_listed(problems)}"
        try:
            made = type(provider).from_config(table, shared=Shared())
        except Exception as exc:
            raise AssertionError(f"from_config raises {type(exc).__name__} for config()") from exc
        assert isinstance(made, type(provider)), "from_config must give a provider"
        await self.within(made.aclose())

    @check
    async def test_a_wrong_table_is_refused_with_its_place(self, provider: ConsoleProvider) -> None:
        """By config_schema, or by ConfigError where no schema can say it; never with the value."""
        for number, (wrong, place) in enumerate(self.wrong_config):
            _demand(await self._table_refusal(provider, wrong), place, f"wrong_config[{number}]")
        right = self.config()
        if right is not None and "config_schema" not in self.open_schemas:
            more = await self._table_refusal(provider, {**right, _UNKNOWN: 1})
            _demand(more, _UNKNOWN, "a key that config_schema does not name")

    def _refusal(self, provider: ConsoleProvider, params: Mapping[str, Any]) -> tuple[Problem, ...]:
        """What the gateway says to a call with these parameters; empty if it takes them."""
        registry = ProviderRegistry()
        registry.add("lab", provider)
        key = self.key or provider.keys[0]
        data = {"protocol": key.protocol, "type": key.type, "params": dict(params)}
        try:
            ConsoleSchema(registry).validate(self.server_id, data, subject="ann")
        except InvalidRequest as exc:
            return exc.problems
        return ()

    async def _table_refusal(
        self, provider: ConsoleProvider, table: Mapping[str, Any]
    ) -> tuple[Problem, ...]:
        if found := problems_of(validator_of(provider.config_schema), dict(table)):
            return tuple(found)
        try:
            made = type(provider).from_config(table, shared=Shared())
        except ConfigError as exc:
            problems = exc.problems
        except Exception as exc:
            raise AssertionError(
                f"from_config raises {type(exc).__name__} for a wrong table: "
                "raise ConfigError([Problem(place, what is wrong)])"
            ) from exc
        else:
            await self.within(made.aclose())
            return ()
        for text in self.hidden():
            assert text not in _listed(problems), "a ConfigError quotes a secret: name its place only"
        return problems


def _demand(problems: tuple[Problem, ...], place: str, what: str) -> None:
    """Demand that it is refused, there and nowhere else only."""
    assert problems, f"{what} is accepted: tighten the schema at {place}"
    places = sorted({problem.path for problem in problems})
    inside = [path for path in places if path == place or path.startswith(f"{place}.")]
    assert inside, f"{what} must be refused at {place}; the refusal names {places}"


def _within(place: str, whole: str) -> str:
    return place if place == whole or place.startswith(f"{whole}.") else f"{whole}.{place}"


def _listed(problems: tuple[Problem, ...] | list[Problem]) -> str:
    return "; ".join(map(str, problems))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from (str(schema[word]) for word in ("$ref", "$dynamicRef") if word in schema)
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _references(part)


def _open_places(schema: Any, place: str) -> Iterator[str]:
    """Where an object takes keys that its schema does not name.

    Parts that a schema puts together at one place (allOf and the like) are closed by the whole.
    """
    if schema is True:
        yield place
    if not isinstance(schema, Mapping):
        return
    rest = schema.get("additionalProperties", schema.get("unevaluatedProperties", True))
    if rest is True and (_takes_objects(schema) or "properties" in schema):
        yield place
    for word in ("properties", "patternProperties", "$defs"):
        for name, part in schema.get(word, {}).items():
            yield from _open_places(part, f"{place}.{word}.{name}")
    for word in ("additionalProperties", "items", "contains"):
        if isinstance(schema.get(word), Mapping):
            yield from _open_places(schema[word], f"{place}.{word}")


def _takes_objects(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", ())
    return "object" in ([kinds] if isinstance(kinds, str) else kinds)
