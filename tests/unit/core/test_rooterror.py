from __future__ import annotations

from consolekit.core import errors, rooterror


def test_the_root_is_what_everybody_imports() -> None:
    assert errors.ConsoleKitError is rooterror.ConsoleKitError
    assert errors.every_error()["internal"] is rooterror.ConsoleKitError


def test_the_root_tells_the_outside_nothing() -> None:
    error = rooterror.ConsoleKitError("a reason for the log")
    assert error.public_detail == ""
    assert "reason" not in error.title
    assert error.status == 500
