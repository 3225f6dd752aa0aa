"""Test support: the real parts that tests want, and what happens when one is missing."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRE_ALL = os.environ.get("CONSOLEKIT_REQUIRE_ALL") == "1"


def require(program: str, package: str) -> str:
    """The path of a program, or a skip that names its Debian package (in CI: a failure)."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")  # servers, for users too
    if path is None:
        missing(f"{program} is not installed: apt-get install {package}")
    assert path is not None
    return path


def missing(reason: str) -> None:
    """Skip the test for a missing real part; with CONSOLEKIT_REQUIRE_ALL=1 fail it."""
    if REQUIRE_ALL:
        pytest.fail(reason)
    pytest.skip(reason)
