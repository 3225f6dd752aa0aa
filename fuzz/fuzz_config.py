"""Fuzz target: any bytes as a configuration file. It is a configuration, or ConfigError that says where."""

from __future__ import annotations

import tempfile
from pathlib import Path

from consolekit.config.load import load
from consolekit.config.model import settings
from consolekit.config.show import as_toml, has_secrets, shown
from consolekit.config.template import example
from consolekit.core.errors import ConfigError

_FILE = Path(tempfile.mkdtemp(prefix="fuzz-config-")) / "consolekit.toml"

SEEDS = [
    example().encode(),
    b'[proxy]\nlisten = "127.0.0.1:6080"\nallowed_hosts = ["a", "[::1]:8"]\n[tokens]\nstore = "memory"\n',
    b'[providers.lab]\nuse = "vnc"\nservers = { "web-1" = "h:1" }\n[limits]\nsessions = 10\n',
    b'proxy.listen = 5\n[[api]]\nx = 1979-05-27T07:32:00Z\n[log]\nlevel = "\\ud800"\n',
    b'"\xe9" = inf\n[timeouts]\nconnect = nan\n',
]

WORDS = [*(setting.path.encode() for setting in settings()), b"\n[providers.x]\n", b"\n[validators.x]\n"]


def one_input(data: bytes) -> None:
    """The content of the file. What is shown of a good one means the same, but for what is masked."""
    _FILE.write_bytes(data)
    try:
        loaded = load(_FILE, env={})
    except ConfigError as exc:
        assert exc.problems
        assert all(problem.path and problem.message for problem in exc.problems)
        str(exc).encode()
        return
    text = as_toml(shown(loaded), origin=True)
    if has_secrets(loaded):
        return
    _FILE.write_text(text, encoding="utf-8")
    assert load(_FILE, env={}).config == loaded.config
