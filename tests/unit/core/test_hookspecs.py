"""Names and signatures of the hooks are public: this test is the list, and changing it is a decision."""

from __future__ import annotations

import inspect

import pytest

from consolekit.core.hooks import Hooks, hookimpl
from consolekit.core.hookspecs import HookSpecs

PUBLIC = {
    "consolekit_step": ["step", "labels"],
    "consolekit_permit": ["caller", "action", "server_id", "subject", "mode"],
    "consolekit_request_validated": ["request", "caller"],
    "consolekit_session_opening": ["session"],
    "consolekit_session_opened": ["session"],
    "consolekit_session_closed": ["session"],
    "consolekit_revoked": ["revocation", "removed"],
    "consolekit_access_refused": ["code", "address"],
}


def test_the_hooks_are_these() -> None:
    found = {
        name: list(inspect.signature(function).parameters)[1:]
        for name, function in inspect.getmembers(HookSpecs, inspect.isfunction)
    }
    assert found == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_hook_says_what_it_is_for(name: str) -> None:
    assert getattr(HookSpecs, name).__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_hook_can_be_implemented_without_arguments(name: str) -> None:
    called: list[str] = []
    listener = type("Listener", (), {name: hookimpl(lambda self: called.append(name))})()
    hooks = Hooks()
    hooks.register(listener, "listener")
    assert hooks.names() == ["listener"]
