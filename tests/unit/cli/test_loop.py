"""The loop of a gateway: uvloop's where it is there, and none is missed where it is not."""

from __future__ import annotations

import asyncio
import sys

import pytest

from consolekit.cli.loop import new_loop


def test_uvloop_where_it_is_installed():
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert isinstance(runner.get_loop(), uvloop.Loop)


def test_asyncios_own_where_it_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert isinstance(runner.get_loop(), asyncio.SelectorEventLoop)
