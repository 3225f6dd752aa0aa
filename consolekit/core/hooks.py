"""Core: who listens to the hooks, and what happens when a listener fails. Knows no entry points."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import pluggy

from consolekit.core.errors import PermitRefused
from consolekit.core.hookspecs import PROJECT, HookSpecs
from consolekit.core.types import Action, Caller, Mode

hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
"""Decorator that marks an implementation of a hook."""

_log = logging.getLogger(__name__)


class Hooks:
    """One kit's plug-ins; two kits in one process do not see each other."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)

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
                impl.function(*(arguments[name] for name in impl.argnames))
            except Exception:
                _log.exception("hook failed", extra={"hook": hook, "plugin": impl.plugin_name})

    def around(self, step: str, labels: Mapping[str, str]) -> AbstractContextManager[object] | None:
        """What the ``consolekit_step`` want around a step; one that fails is logged and changes nothing."""
        implementations = self._manager.hook.consolekit_step.get_hookimpls()
        return _Around(implementations, {"step": step, "labels": labels}) if implementations else None

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
                reason = impl.function(*(arguments[name] for name in impl.argnames))
            except Exception as exc:
                _log.exception("permit hook failed: refused", extra={"plugin": impl.plugin_name})
                raise PermitRefused(f"{impl.plugin_name} failed") from exc
            if reason is not None:
                raise PermitRefused(f"{impl.plugin_name}: {reason}")


class _Around(AbstractContextManager[None]):
    """Several context managers that can neither fail nor swallow."""

    def __init__(self, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
        self._implementations, self._arguments = implementations, arguments
        self._entered: list[tuple[AbstractContextManager[object], str]] = []

    def __enter__(self) -> None:
        for impl in reversed(self._implementations):
            try:
                manager = impl.function(*(self._arguments[name] for name in impl.argnames))
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


def _is_plain(impl: pluggy.HookImpl) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return not (impl.wrapper or impl.hookwrapper or any(kind(impl.function) for kind in kinds))
