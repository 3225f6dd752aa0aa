"""Core: who listens to the hooks, and what happens when a listener fails. Knows no entry points.

With ``CONSOLEKIT_TRACE_HOOKS=1`` in the environment each call of a listener is logged: its hook, its name,
how it ended and how long it took; never a value.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import pluggy

from consolekit.core.errors import PermitRefused
from consolekit.core.hookspecs import PROJECT, HookSpecs
from consolekit.core.types import Action, Caller, Clock, Mode, SystemClock

hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
"""Decorator that marks an implementation of a hook."""

TRACE_VARIABLE = "CONSOLEKIT_TRACE_HOOKS"
"""Set to anything but 0, each call of a listener is logged."""

_Call = Callable[[str, pluggy.HookImpl, Mapping[str, Any]], object]
_log = logging.getLogger(__name__)


class Hooks:
    """One kit's plug-ins; two kits in one process do not see each other.

    Args:
        trace: Log each call of a listener, with its seconds by this clock; default: as the environment says.
    """

    def __init__(self, *, trace: Clock | None = None) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        if trace is None and os.environ.get(TRACE_VARIABLE, "0") not in ("", "0"):
            trace = SystemClock()
        self._call: _Call = _call if trace is None else _traced(trace)

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add a listener: an object or module with ``@hookimpl`` functions.

        Args:
            plugin: The listener.
            name: How to call it in logs; default: made from its type.

        Raises:
            ValueError: already registered, or the name is taken.
            TypeError: it implements an unknown hook, takes an argument the hook has not, or is not a plain
                function: nobody would await a coroutine or go on with a generator or a wrapper.
        """
        try:
            registered = self._manager.register(plugin, name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as exc:
            if self._manager.get_name(plugin) is not None:  # else pluggy has already left it out
                self._manager.unregister(plugin)
            raise TypeError(f"hook plug-in does not fit: {exc}") from exc
        for caller in self._manager.get_hookcallers(plugin) or ():
            implementations = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
            if not all(_is_plain(impl) for impl in implementations):
                self._manager.unregister(plugin)
                raise TypeError(f"hook {caller.name} of {registered} must be a plain function")

    def unregister(self, plugin: object) -> None:
        """Remove a listener."""
        self._manager.unregister(plugin)

    def names(self) -> list[str]:
        """The registered listeners' names, sorted."""
        return sorted(name for name, plugin in self._manager.list_name_plugin() if plugin is not None)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell every listener; one that raises is logged and keeps nobody from the others.

        pluggy's own call stops at the first exception, so the listeners are called one by one.
        """
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                self._call(hook, impl, arguments)
            except Exception:
                _log.exception("hook failed", extra={"hook": hook, "plugin": impl.plugin_name})

    def around(self, step: str, labels: Mapping[str, str]) -> AbstractContextManager[object] | None:
        """What the ``consolekit_step`` want around a step; one that fails is logged and changes nothing."""
        implementations = self._manager.hook.consolekit_step.get_hookimpls()
        if not implementations:
            return None
        return _Around(implementations, {"step": step, "labels": labels}, self._call)

    def permit(
        self, caller: Caller, action: Action, *, server_id: str, subject: str, mode: Mode | None = None
    ) -> None:
        """Ask every ``consolekit_permit``.

        Args:
            caller: Who asks.
            action: What for.
            server_id: Which server.
            subject: For whom.
            mode: What the viewer could do; None where the action opens no console.

        Raises:
            PermitRefused: one of them refused or failed; the text (for the log) says which.
        """
        arguments: dict[str, Any] = {"caller": caller, "action": action, "server_id": server_id}
        arguments |= {"subject": subject, "mode": mode}
        for impl in reversed(self._manager.hook.consolekit_permit.get_hookimpls()):
            try:
                reason = self._call("consolekit_permit", impl, arguments)
            except Exception as exc:
                _log.exception("permit hook failed: refused", extra={"plugin": impl.plugin_name})
                raise PermitRefused(f"{impl.plugin_name} failed") from exc
            if reason is not None:
                raise PermitRefused(f"{impl.plugin_name}: {reason}")


class _Around(AbstractContextManager[None]):
    """Several context managers that can neither fail nor swallow."""

    def __init__(
        self, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any], call: _Call
    ) -> None:
        self._implementations, self._arguments, self._call = implementations, arguments, call
        self._entered: list[tuple[AbstractContextManager[object], str]] = []

    def __enter__(self) -> None:
        for impl in reversed(self._implementations):
            try:
                manager = self._call("consolekit_step", impl, self._arguments)
                if isinstance(manager, AbstractContextManager):
                    manager.__enter__()
                    self._entered.append((manager, impl.plugin_name))
            except Exception:
                _log.exception("hook failed", extra={"hook": "consolekit_step", "plugin": impl.plugin_name})

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for manager, plugin in reversed(self._entered):
            try:
                manager.__exit__(kind, value, trace)
            except BaseException as exc:
                if exc is not value:  # one that passes it on is in order
                    _log.exception("hook failed", extra={"hook": "consolekit_step", "plugin": plugin})


def _call(_: str, impl: pluggy.HookImpl, arguments: Mapping[str, Any]) -> object:
    said: object = impl.function(*(arguments[name] for name in impl.argnames))
    return said


def _traced(clock: Clock) -> _Call:
    def call(hook: str, impl: pluggy.HookImpl, arguments: Mapping[str, Any]) -> object:
        begun, outcome = clock.monotonic(), "failed"
        try:
            said = _call(hook, impl, arguments)
            outcome = "done" if said is None else "answered"
            return said
        finally:
            _log.info(
                "hook called",
                extra={
                    "hook": hook,
                    "plugin": impl.plugin_name,
                    "outcome": outcome,
                    "seconds": round(clock.monotonic() - begun, 6),
                },
            )

    return call


def _is_plain(impl: pluggy.HookImpl) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return not (impl.wrapper or impl.hookwrapper or any(kind(impl.function) for kind in kinds))
