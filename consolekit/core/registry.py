"""Core: which providers are there, by name and by pair, in the operator's order. Loads nothing."""

from __future__ import annotations

from collections.abc import Iterator

from consolekit.core.errors import ConsoleNotImplemented, UnknownServer, UnsupportedConsole
from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import ConsoleKey


class ProviderRegistry:
    """Providers under their configured names; several may offer the same pair."""

    def __init__(self) -> None:
        self._by_name: dict[str, ConsoleProvider] = {}

    def add(self, name: str, provider: ConsoleProvider) -> None:
        """Add a provider; its place in the order is the order of adding.

        Raises:
            ValueError: the name is taken, or the provider offers no pair.
        """
        if name in self._by_name:
            raise ValueError(f"a provider named {name!r} is already there")
        if not provider.keys:
            raise ValueError(f"provider {name!r} offers no <protocol, type> pair")
        self._by_name[name] = provider

    def __iter__(self) -> Iterator[tuple[str, ConsoleProvider]]:
        return iter(self._by_name.items())

    def pairs(self) -> tuple[ConsoleKey, ...]:
        """Every offered pair, sorted, once each."""
        return tuple(sorted({key for _, provider in self for key in provider.keys}))

    def get(self, name: str) -> ConsoleProvider:
        """The provider of that name.

        Raises:
            UnknownServer: it is not configured (any more): the grant outlived its provider.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownServer(f"provider {name!r} is not configured (any more)") from None

    def many_channels(self, name: str) -> bool:
        """Whether a viewer of this provider opens several connections on one token; False if it is gone."""
        provider = self._by_name.get(name)
        return provider is not None and provider.many_channels

    def offering(self, key: ConsoleKey) -> tuple[tuple[str, ConsoleProvider], ...]:
        """The providers of a pair, in order.

        Raises:
            ConsoleNotImplemented: the pair is known and deliberately not offered.
            UnsupportedConsole: nobody offers it; the error lists the valid pairs.
        """
        found = tuple((name, provider) for name, provider in self if key in provider.keys)
        if found:
            return found
        for _, provider in self:
            if key in provider.refused_keys:
                raise ConsoleNotImplemented(f"console {key}: {provider.refused_keys[key]}")
        raise UnsupportedConsole(str(key), [str(known) for known in self.pairs()])
