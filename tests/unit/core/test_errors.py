from __future__ import annotations

import inspect
import re
from http import HTTPStatus

import pytest

from consolekit.core import errors
from consolekit.core.errors import ConsoleKitError, Problem, every_error

CODE = re.compile(r"[a-z]+(_[a-z]+)*")
CANARY = "c4n4ry-V41ue"

PUBLIC = [
    cls
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, ConsoleKitError) and not name.startswith("_")
]


def made(cls: type[ConsoleKitError], text: str = "the reason") -> ConsoleKitError:
    """An instance with ``text`` wherever the class takes one."""
    if issubclass(cls, errors.ConfigError | errors.InvalidRequest):
        return cls([Problem("a.b", text), Problem("", "second")])
    if issubclass(cls, errors.PluginError):
        return cls("consolekit.providers", "vnc", text, "install it")
    if cls is errors.UnsupportedConsole:
        return errors.UnsupportedConsole("vnc/webmks", ["mks/webmks", "vnc/novnc"], text)
    if cls is errors.LimitReached:
        return errors.LimitReached("sessions", 5)
    return cls(text)


@pytest.mark.parametrize("cls", PUBLIC)
class TestEveryError:
    def test_has_a_code_a_status_and_a_title(self, cls: type[ConsoleKitError]) -> None:
        assert CODE.fullmatch(cls.code)
        assert cls.status >= 400
        assert HTTPStatus(cls.status)
        assert cls.title.endswith((".", ">."))

    def test_is_in_the_tree_with_a_docstring(self, cls: type[ConsoleKitError]) -> None:
        assert cls.__doc__
        assert cls.__name__ in (errors.__doc__ or "")
        assert every_error()[cls.code].code == cls.code

    def test_says_what_it_was_told(self, cls: type[ConsoleKitError]) -> None:
        assert ("the reason" in str(made(cls))) or cls is errors.LimitReached
        assert isinstance(made(cls).public_detail, str)

    def test_is_caught_as_ours(self, cls: type[ConsoleKitError]) -> None:
        with pytest.raises(ConsoleKitError):
            raise made(cls)


def test_codes_are_unique_but_for_a_class_and_its_kinds() -> None:
    by_code: dict[str, list[type[ConsoleKitError]]] = {}
    for cls in PUBLIC:
        by_code.setdefault(cls.code, []).append(cls)
    shared = {code: classes for code, classes in by_code.items() if len(classes) > 1}
    assert shared == {}


def test_all_public_classes_are_found_by_code() -> None:
    assert set(every_error().values()) == set(PUBLIC)


@pytest.mark.parametrize(
    "error",
    [
        made(errors.TokenRefused, CANARY),
        made(errors.CallerRefused, CANARY),
        made(errors.PermitRefused, CANARY),
        made(errors.OriginRefused, CANARY),
        made(errors.StoreUnavailable, CANARY),
        made(errors.ProviderError, CANARY),
        made(errors.UnknownServer, CANARY),
        made(errors.ConsoleConflict, CANARY),
        made(errors.ConsoleUnavailable, CANARY),
        made(errors.NotFound, CANARY),
        *[made(cls, CANARY) for cls in PUBLIC if issubclass(cls, errors.PeerError | errors.PluginError)],
    ],
    ids=lambda error: type(error).__name__,
)
def test_reasons_that_are_for_the_log_stay_there(error: ConsoleKitError) -> None:
    assert CANARY not in error.title + error.public_detail


def test_problem_lists_say_everything_at_once() -> None:
    error = errors.ConfigError([Problem("a.b", "is required"), Problem("", "is empty")])
    assert str(error) == "a.b: is required; is empty"
    assert error.public_detail == str(error)
    assert len(error.problems) == 2


def test_an_unsupported_pair_is_told_the_valid_ones() -> None:
    error = errors.UnsupportedConsole("vnc/webmks", ["mks/webmks", "vnc/novnc"])
    assert "vnc/webmks" in str(error)
    assert "valid pairs: mks/webmks, vnc/novnc" in error.public_detail
    assert "valid pairs: none" in str(errors.UnsupportedConsole("vnc/webmks", []))


def test_limits_say_what_they_are() -> None:
    error = errors.LimitReached("per_server", 8)
    assert (error.limit, error.allowed) == ("per_server", 8)
    assert error.public_detail == "limit per_server of 8 reached"


def test_an_unavailable_console_says_if_later_may_help() -> None:
    assert errors.ConsoleUnavailable("starting").retryable
    assert not errors.ConsoleUnavailable("no adapter", retryable=False).retryable


def test_a_plug_in_error_names_everything() -> None:
    text = str(errors.PluginNotFound("consolekit.providers", "vnx", "not there", "installed: vnc"))
    assert text == "plug-in 'vnx' of consolekit.providers: not there (installed: vnc)"
