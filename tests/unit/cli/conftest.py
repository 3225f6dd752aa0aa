"""What the tests of commands share: the program without a process, and a configuration of one server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consolekit.cli.logs import PatientHandler
from consolekit.cli.main import cli
from consolekit.config import layers

CONFIG = """
[tokens]
path = "tokens.db"
[api.keys.portal]
sha256 = "{hash}"
[providers.lab]
use = "vnc"
[providers.lab.servers.web-1]
address = "127.0.0.1:5900"
password = "s3cret"
"""

Call = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Call]:
    """Call the program: ``run("config", "check", env={...})``."""
    monkeypatch.setattr(layers, "DEFAULT_FILE", tmp_path / "etc" / "consolekit.toml")
    monkeypatch.delenv("CONSOLEKIT_CONFIG", raising=False)

    def call(*args: str, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(cli, args, prog_name="consolekit", env=env, terminal_width=100)

    yield call
    root = logging.getLogger()
    for handler in [known for known in root.handlers if isinstance(known, PatientHandler)]:
        root.removeHandler(handler)
        handler.close()
    logging.captureWarnings(False)
    root.setLevel(logging.WARNING)
    logging.getLogger("consolekit").setLevel(logging.NOTSET)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A right configuration; its store is a file beside it."""
    path = tmp_path / "consolekit.toml"
    path.write_text(CONFIG.format(hash="ab" * 32))
    path.chmod(0o600)
    return path
