from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest

from consolekit.core.errors import PermitRefused
from consolekit.core.hooks import Hooks, hookimpl
from consolekit.core.types import Action, Caller
from consolekit.testing import ManualClock

CALLER = Caller(name="portal")


def ask(hooks: Hooks) -> None:
    hooks.permit(CALLER, Action.CREATE, server_id="web-1", subject="alice")


def listener(name: str, function: Any) -> object:
    """An object with one implementation."""
    return type("Listener", (), {name: hookimpl(function)})()


class TestPermit:
    def test_no_plug_in_is_no_objection(self) -> None:
        ask(Hooks())

    def test_everybody_is_asked_and_none_is_no_objection(self) -> None:
        seen: list[tuple[object, ...]] = []

        def look(self: object, caller: Caller, action: Action, server_id: str, subject: str) -> None:
            seen.append((caller, action, server_id, subject))

        hooks = Hooks()
        for name in ("a", "b"):
            hooks.register(listener("consolekit_permit", look), name)
        ask(hooks)
        assert seen == [(CALLER, Action.CREATE, "web-1", "alice")] * 2

    def test_one_refusal_refuses_whatever_the_others_say(self) -> None:
        hooks = Hooks()
        hooks.register(listener("consolekit_permit", lambda self: None), "kind")
        hooks.register(listener("consolekit_permit", lambda self: "not on Sundays"), "strict")
        hooks.register(listener("consolekit_permit", lambda self: None), "kinder")
        with pytest.raises(PermitRefused, match="strict: not on Sundays") as caught:
            ask(hooks)
        assert "Sundays" not in caught.value.title + caught.value.public_detail

    @pytest.mark.parametrize("answer", ["", False, True, 0, "yes"])
    def test_nothing_grants(self, answer: object) -> None:
        hooks = Hooks()
        hooks.register(listener("consolekit_permit", lambda self: answer), "odd")
        with pytest.raises(PermitRefused):
            ask(hooks)

    def test_one_that_fails_refuses(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail(self: object) -> None:
            raise RuntimeError("database down")

        hooks = Hooks()
        hooks.register(listener("consolekit_permit", fail), "broken")
        with pytest.raises(PermitRefused, match="broken failed") as caught:
            ask(hooks)
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


class TestNotify:
    def test_one_that_raises_keeps_nobody_from_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        heard: list[str] = []

        def fail(self: object, code: str) -> None:
            raise RuntimeError(code)

        hooks = Hooks()
        hooks.register(listener("consolekit_access_refused", lambda self, code: heard.append(code)), "a")
        hooks.register(listener("consolekit_access_refused", fail), "b")
        hooks.register(
            listener("consolekit_access_refused", lambda self, address: heard.append(address)), "c"
        )
        hooks.notify("consolekit_access_refused", code="token_refused", address="192.0.2.1")
        assert sorted(heard) == ["192.0.2.1", "token_refused"]
        assert [record.__dict__["plugin"] for record in caplog.records] == ["b"]

    def test_last_registered_is_told_first_unless_it_says_otherwise(self) -> None:
        told: list[str] = []
        hooks = Hooks()
        hooks.register(listener("consolekit_access_refused", lambda self: told.append("a")), "a")
        hooks.register(listener("consolekit_access_refused", lambda self: told.append("b")), "b")
        last = type(
            "Last", (), {"consolekit_access_refused": hookimpl(trylast=True)(lambda self: told.append("c"))}
        )
        hooks.register(last(), "c")
        hooks.notify("consolekit_access_refused", code="x", address="y")
        assert told == ["b", "a", "c"]


class TestRegister:
    def test_two_kits_do_not_see_each_other(self) -> None:
        one, two = Hooks(), Hooks()
        one.register(listener("consolekit_permit", lambda self: "no"), "strict")
        assert two.names() == []
        ask(two)

    def test_unregister(self) -> None:
        hooks, strict = Hooks(), listener("consolekit_permit", lambda self: "no")
        hooks.register(strict, "strict")
        hooks.unregister(strict)
        assert hooks.names() == []
        ask(hooks)

    def test_twice_and_taken_names_are_refused(self) -> None:
        hooks, one = Hooks(), listener("consolekit_permit", lambda self: None)
        hooks.register(one, "one")
        with pytest.raises(ValueError, match="one"):
            hooks.register(one, "two")
        with pytest.raises(ValueError, match="one"):
            hooks.register(listener("consolekit_permit", lambda self: None), "one")
        assert hooks.names() == ["one"]

    def test_an_object_without_hooks_is_allowed(self) -> None:
        hooks = Hooks()
        hooks.register(object(), "idle")
        assert hooks.names() == ["idle"]

    def test_what_does_not_fit_is_refused_and_gone(self) -> None:
        async def coroutine(self: object) -> None: ...

        async def stream(self: object) -> AsyncIterator[int]:
            yield 1

        def generator(self: object) -> Iterator[int]:
            yield 1

        wrapper = hookimpl(wrapper=True)(generator)
        hooks = Hooks()
        for unfit in (
            listener("consolekit_unheard_of", lambda self: None),
            listener("consolekit_permit", lambda self, password: None),
            listener("consolekit_permit", coroutine),
            listener("consolekit_permit", stream),
            listener("consolekit_session_closed", generator),
            type("Wrapper", (), {"consolekit_session_closed": wrapper})(),
        ):
            with pytest.raises(TypeError, match="hook"):
                hooks.register(unfit, "unfit")
            assert hooks.names() == []
            ask(hooks)


class TestAround:
    def test_nobody_goes_around(self) -> None:
        assert Hooks().around("open", {}) is None

    def test_everybody_goes_around_the_last_registered_outermost(self) -> None:
        seen: list[str] = []

        def noting(name: str) -> Callable[..., contextlib.AbstractContextManager[None]]:
            @contextlib.contextmanager
            def go(self: object, step: str, labels: Mapping[str, str]) -> Iterator[None]:
                seen.append(f"{name} {step} {labels['operation']}")
                yield
                seen.append(f"{name} left")

            # what a hook gives is a context manager, not a generator
            return lambda self, step, labels: go(self, step, labels)

        hooks = Hooks()
        for name in ("a", "b"):
            hooks.register(listener("consolekit_step", noting(name)), name)
        hooks.register(listener("consolekit_step", lambda self, step: None), "not interested")
        around = hooks.around("store", {"operation": "take"})
        assert around is not None
        with around:
            seen.append("done")
        assert seen == ["b store take", "a store take", "done", "a left", "b left"]

    @pytest.mark.parametrize("where", ["call", "enter", "exit"])
    def test_one_that_fails_changes_nothing(self, where: str, caplog: pytest.LogCaptureFixture) -> None:
        left: list[object] = []

        class Failing(contextlib.AbstractContextManager[None]):
            def __enter__(self) -> None:
                if where == "enter":
                    raise RuntimeError

            def __exit__(self, *_: object) -> bool:
                if where == "exit":
                    raise RuntimeError
                return True  # it would swallow

        class Fine(contextlib.AbstractContextManager[None]):
            def __exit__(self, kind: object, value: object, trace: object) -> None:
                left.append(value)

        def fail(self: object, step: str) -> Failing:
            if where == "call":
                raise RuntimeError
            return Failing()

        hooks = Hooks()
        hooks.register(listener("consolekit_step", lambda self, step: Fine()), "fine")
        hooks.register(listener("consolekit_step", fail), "failing")
        fault = KeyError("it")
        around = hooks.around("open", {})
        assert around is not None
        with pytest.raises(KeyError), around:
            raise fault
        assert left == [fault]
        assert [record.getMessage() for record in caplog.records] == ["hook failed"]
        assert caplog.records[0].__dict__["plugin"] == "failing"


class TestTrace:
    """``CONSOLEKIT_TRACE_HOOKS``."""

    def test_each_call_is_told_with_its_time_and_no_value(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = ManualClock()
        hooks = Hooks(trace=clock)

        def refuse(self: object, caller: Caller) -> str:
            clock.advance(0.25)
            return "s3cret reason"

        def fail(self: object, code: str) -> None:
            raise LookupError("s3cret")

        hooks.register(listener("consolekit_permit", refuse), "policy")
        hooks.register(listener("consolekit_access_refused", fail), "audit")
        hooks.register(listener("consolekit_access_refused", lambda self: None), "other")
        with caplog.at_level(logging.INFO), pytest.raises(PermitRefused):
            ask(hooks)
        with caplog.at_level(logging.INFO):
            hooks.notify("consolekit_access_refused", code="token_refused", address="192.0.2.7")
        calls = [vars(record) for record in caplog.records if record.message == "hook called"]
        assert [(call["hook"], call["plugin"], call["outcome"], call["seconds"]) for call in calls] == [
            ("consolekit_permit", "policy", "answered", 0.25),
            ("consolekit_access_refused", "other", "done", 0.0),
            ("consolekit_access_refused", "audit", "failed", 0.0),
        ]
        assert not [call for call in calls if "s3cret" in repr(call) or "192.0.2.7" in repr(call)]

    @pytest.mark.parametrize(
        ("value", "told"), [("1", True), ("yes", True), ("0", False), ("", False), (None, False)]
    )
    def test_the_environment_switches_it_on(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        value: str | None,
        told: bool,
    ) -> None:
        if value is None:
            monkeypatch.delenv("CONSOLEKIT_TRACE_HOOKS", raising=False)
        else:
            monkeypatch.setenv("CONSOLEKIT_TRACE_HOOKS", value)
        hooks = Hooks()
        hooks.register(listener("consolekit_permit", lambda self: None), "policy")
        with caplog.at_level(logging.INFO):
            ask(hooks)
        assert bool(caplog.records) is told
