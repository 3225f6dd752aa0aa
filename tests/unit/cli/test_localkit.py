"""cli.localkit: a kit for one command is closed, whatever the command does."""

from __future__ import annotations

from pathlib import Path

import pytest

from consolekit.cli import localkit
from consolekit.config.load import load
from consolekit.core.errors import ConfigError, NotFound
from consolekit.kit import ConsoleKit


class Closing:
    """Notes whether the kit was closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = ConsoleKit.aclose

        async def aclose(kit: ConsoleKit) -> None:
            self.count += 1
            await real(kit)

        monkeypatch.setattr(ConsoleKit, "aclose", aclose)


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> Closing:
    return Closing(monkeypatch)


def test_the_result_comes_back(file: Path, closing: Closing) -> None:
    async def work(kit: ConsoleKit) -> list[str]:
        return [name for name, _ in kit.registry]

    loaded = load(file, env={})
    assert localkit.with_kit(loaded, work, instead="") == []
    assert localkit.with_kit(loaded, work, instead="", providers=True) == ["lab"]
    assert closing.count == 2


def test_it_is_closed_after_a_failure(file: Path, closing: Closing) -> None:
    async def work(kit: ConsoleKit) -> None:
        raise NotFound("x")

    with pytest.raises(NotFound):
        localkit.with_kit(load(file, env={}), work, instead="")
    assert closing.count == 1


def test_a_store_that_is_not_shared(closing: Closing) -> None:
    async def work(kit: ConsoleKit) -> None:
        raise AssertionError("must not be called")

    loaded = load(env={"CONSOLEKIT_TOKENS__STORE": "memory"})
    with pytest.raises(ConfigError, match="ask somebody else"):
        localkit.with_kit(loaded, work, instead="ask somebody else")
    assert closing.count == 1


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(localkit.getpass, "getuser", nobody)
    assert localkit.caller().name == "local:unknown"
