"""cli.serve: everything is looked at before a port is opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from consolekit.cli import logs, server, supervisor
from consolekit.cli.worker import PARENT
from consolekit.config.model import Config
from consolekit.core.address import Address
from consolekit.kit import ConsoleKit

Call = Callable[..., Result]
ALONE = {"CONSOLEKIT_PROXY__WORKERS": "0"}


class FakeServer:
    """Stands for the process that serves, or for the parent of several."""

    def __init__(self) -> None:
        self.config: Config | None = None
        self.roles: dict[str, bool] = {}
        self.part = ""

    def serve(self, config: Config, kit: ConsoleKit, **roles: bool) -> int:
        self.config, self.roles, self.part = config, roles, "serves"
        asyncio.run(kit.aclose())
        return 0

    def supervise(self, config: Config, **roles: bool) -> int:
        self.config, self.roles, self.part = config, roles, "supervises"
        return 0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    found = FakeServer()
    monkeypatch.setattr(server, "run", found.serve)
    monkeypatch.setattr(supervisor, "run", found.supervise)
    return found


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    real = logs.set_up
    monkeypatch.setattr(logs, "set_up", lambda form, level: real(form, level, write=lines.append))
    return lines


@pytest.mark.parametrize(
    ("command", "roles"),
    [
        ("serve", {"proxy": True, "api": True}),
        ("proxy", {"proxy": True, "api": False}),
        ("api", {"proxy": False, "api": True}),
    ],
)
def test_roles(run: Call, file: Path, fake: FakeServer, command: str, roles: dict[str, bool]) -> None:
    result = run(command, "-c", str(file))
    assert result.exit_code == 0, result.stderr
    assert fake.roles == roles


@pytest.mark.parametrize(
    ("env", "part"),
    [
        ({}, "supervises"),
        ({"CONSOLEKIT_PROXY__WORKERS": "4"}, "supervises"),
        ({"CONSOLEKIT_PROXY__WORKERS": "0"}, "serves"),
        ({PARENT: "7"}, "serves"),
    ],
    ids=["default", "several", "alone", "a worker"],
)
def test_who_serves(run: Call, file: Path, fake: FakeServer, env: dict[str, str], part: str) -> None:
    assert run("serve", "-c", str(file), env=env).exit_code == 0
    assert fake.part == part


def config_of(fake: FakeServer) -> Config:
    assert fake.config is not None
    return fake.config


def test_flags_of_serve(run: Call, file: Path, fake: FakeServer, log: list[str]) -> None:
    args = "--listen [::1]:1 --base-url https://a/x --api-listen 127.0.0.1:2 --admin-listen 127.0.0.1:3"
    args += " --workers 3"
    assert run("serve", "-c", str(file), *args.split(), "--log-format", "json", "-v").exit_code == 0
    config = config_of(fake)
    assert config.proxy.listen == Address("::1", 1)
    assert config.proxy.base_url == "https://a/x"
    assert config.api.listen == Address("127.0.0.1", 2)
    assert config.admin.listen == Address("127.0.0.1", 3)
    assert config.proxy.workers == 3
    assert (config.log.format, config.log.level) == ("json", "debug")
    assert logging.getLogger("consolekit").level == logging.DEBUG


def test_listen_of_api_is_the_apis(run: Call, file: Path, fake: FakeServer) -> None:
    assert run("api", "-c", str(file), "--listen", "127.0.0.1:7").exit_code == 0
    assert config_of(fake).api.listen == Address("127.0.0.1", 7)
    assert config_of(fake).proxy.listen == Address("127.0.0.1", 6080)


def test_metrics_can_be_off(run: Call, file: Path, fake: FakeServer) -> None:
    assert run("serve", "-c", str(file), "--admin-listen", "").exit_code == 0
    assert config_of(fake).admin.listen is None


def test_every_problem_before_a_port_is_opened(run: Call, tmp_path: Path, fake: FakeServer) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[providers.a]\nuse = "nope"\n')
    result = run("serve", "-c", str(file), "--cert", "none.pem")
    assert result.exit_code == 2
    for said in ("api.keys: is empty", "proxy.cert: cannot be read", "providers.a.use: 'nope'"):
        assert said in result.stderr
    assert fake.config is None


@pytest.mark.parametrize("command", ["proxy", "api"])
def test_a_memory_store_is_for_serve(run: Call, file: Path, fake: FakeServer, command: str) -> None:
    file.write_text(file.read_text().replace('path = "tokens.db"', 'store = "memory"'))
    result = run(command, "-c", str(file))
    assert result.exit_code == 2
    assert 'tokens.store: is "memory", which no other process sees' in result.stderr
    assert run("serve", "-c", str(file)).exit_code == 0
    assert fake.part == "serves", "a parent's worker would be another process"


def test_without_a_configuration(run: Call, fake: FakeServer) -> None:
    result = run("serve")
    assert result.exit_code == 2
    assert "consolekit demo" in result.stderr
    assert "consolekit key new NAME" in result.stderr


def test_what_the_server_says_is_the_exit_code(
    run: Call, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: Config, kit: ConsoleKit, **_: Any) -> int:
        asyncio.run(kit.aclose())
        return 1

    monkeypatch.setattr(server, "run", refuse)
    assert run("serve", "-c", str(file), env=ALONE).exit_code == 1


def test_a_missing_viewer_is_logged(run: Call, file: Path, fake: FakeServer, log: list[str]) -> None:
    run("proxy", "-c", str(file), "--web-root", str(file.parent), env=ALONE)
    logging.getLogger().handlers[-1].close()
    assert "noVNC is not there" in "".join(log)


def test_an_api_needs_no_viewer(run: Call, file: Path, fake: FakeServer, log: list[str]) -> None:
    run("api", "-c", str(file), env=ALONE | {"CONSOLEKIT_PROXY__WEB_ROOT": str(file.parent)})
    logging.getLogger().handlers[-1].close()
    assert log == []
