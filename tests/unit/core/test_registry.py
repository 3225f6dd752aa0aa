from __future__ import annotations

import pytest
from consolesite import SERIAL, VNC, Rack, Wires, registry_of

from consolekit.core.errors import ConsoleNotImplemented, UnknownServer, UnsupportedConsole
from consolekit.core.registry import ProviderRegistry
from consolekit.core.types import ConsoleKey


class Nothing(Rack):
    keys = ()


def test_keeps_the_order_of_adding() -> None:
    registry = registry_of(b=Rack(), a=Rack(), c=Wires())
    assert [name for name, _ in registry] == ["b", "a", "c"]
    assert [name for name, _ in registry.offering(VNC)] == ["b", "a"]


def test_pairs_are_sorted_and_there_once() -> None:
    assert registry_of(b=Rack(), a=Rack(), c=Wires()).pairs() == (SERIAL, VNC)
    assert ProviderRegistry().pairs() == ()


def test_a_name_is_taken_once() -> None:
    registry = registry_of(a=Rack())
    with pytest.raises(ValueError, match="'a' is already there"):
        registry.add("a", Wires())
    assert registry.pairs() == (VNC,)


def test_a_provider_without_a_pair_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="offers no"):
        ProviderRegistry().add("empty", Nothing())


def test_get_by_name() -> None:
    rack = Rack()
    assert registry_of(a=rack).get("a") is rack
    with pytest.raises(UnknownServer, match="'b' is not configured"):
        registry_of(a=rack).get("b")


def test_a_pair_that_nobody_offers_is_told_the_valid_ones() -> None:
    with pytest.raises(UnsupportedConsole) as caught:
        registry_of(a=Rack(), b=Wires()).offering(ConsoleKey("vnc", "webmks"))
    assert caught.value.known == ("serial/serial", "vnc/novnc")


def test_a_pair_that_is_deliberately_not_offered_is_told_why() -> None:
    with pytest.raises(ConsoleNotImplemented, match="use vnc/novnc"):
        registry_of(a=Wires(), b=Rack()).offering(ConsoleKey("vnc", "xvpvnc"))


def test_a_refusal_does_not_keep_others_from_offering() -> None:
    class Xvp(Rack):
        keys = (ConsoleKey("vnc", "xvpvnc"),)

    assert [name for name, _ in registry_of(a=Rack(), b=Xvp()).offering(ConsoleKey("vnc", "xvpvnc"))] == ["b"]
