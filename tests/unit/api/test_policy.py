from __future__ import annotations

import pytest

from consolekit.api import policy
from consolekit.core.errors import PermitRefused
from consolekit.core.hooks import Hooks, hookimpl
from consolekit.core.types import Action, Caller, Mode

ACTIONS = list(Action)
FOR_NOBODY = (Action.OFFERS, Action.CONNECT_INFO)
PORTAL = Caller(name="portal", servers=("web-*", "db-[12]"), subjects=("alice", "team-*"))


def permitted(action: Action, server_id: str, subject: str, caller: Caller = PORTAL) -> bool:
    hooks = Hooks()
    policy.enforce(hooks)
    try:
        hooks.permit(caller, action, server_id=server_id, subject=subject)
    except PermitRefused:
        return False
    return True


@pytest.mark.parametrize("action", ACTIONS)
class TestKeyScope:
    @pytest.mark.parametrize(
        ("server_id", "fits"),
        [("web-1", True), ("db-2", True), ("db-3", False), ("WEB-1", False), ("", False), ("x-web-1", False)],
    )
    def test_holds_callers_to_their_servers(self, action: Action, server_id: str, fits: bool) -> None:
        assert permitted(action, server_id, "alice") is fits

    @pytest.mark.parametrize(
        ("subject", "fits"),
        [("alice", True), ("team-red", True), ("bob", False), ("Alice", False), ("", False)],
    )
    def test_holds_callers_to_their_subjects(self, action: Action, subject: str, fits: bool) -> None:
        assert permitted(action, "web-1", subject) is (fits or action in FOR_NOBODY)

    def test_a_caller_without_patterns_may_nothing(self, action: Action) -> None:
        assert not permitted(action, "web-1", "alice", Caller(name="nobody", servers=()))

    def test_an_embedder_s_caller_may_everything(self, action: Action) -> None:
        assert permitted(action, "anything", "anybody", Caller(name="embedder"))


@pytest.mark.parametrize("modes", [(Mode.VIEW,), (Mode.INTERACT,), tuple(Mode), ()], ids=str)
@pytest.mark.parametrize("mode", [*Mode, None])
def test_holds_callers_to_their_modes(modes: tuple[Mode, ...], mode: Mode | None) -> None:
    hooks = Hooks()
    policy.enforce(hooks)
    caller = Caller(name="watcher", modes=modes)
    if mode is None or mode in modes:
        hooks.permit(caller, Action.CREATE, server_id="web-1", subject="alice", mode=mode)
        return
    with pytest.raises(PermitRefused, match=f"key watcher is not for consoles of mode {mode.value}"):
        hooks.permit(caller, Action.CREATE, server_id="web-1", subject="alice", mode=mode)


def test_is_registered_once_for_a_kit_and_refuses_beside_others() -> None:
    hooks = Hooks()
    policy.enforce(hooks)
    policy.enforce(hooks)
    assert hooks.names() == [policy.NAME]

    class Kind:
        @hookimpl
        def consolekit_permit(self) -> None:
            return None

    hooks.register(Kind(), "kind")
    with pytest.raises(PermitRefused, match="key portal is not for this server"):
        hooks.permit(PORTAL, Action.CREATE, server_id="mail-1", subject="alice")
    with pytest.raises(PermitRefused, match="key portal is not for this subject"):
        hooks.permit(PORTAL, Action.CREATE, server_id="web-1", subject="bob")
