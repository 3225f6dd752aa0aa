"""CLI: ``serve``, ``proxy``, ``api``: everything is looked at before a port is opened."""

from __future__ import annotations

import logging
import os

import click

from consolekit import web
from consolekit.cli import logs
from consolekit.cli.frame import Command
from consolekit.cli.options import config_option, log_options, setting_option
from consolekit.cli.worker import PARENT
from consolekit.config.build import build_kit, plugin_problems
from consolekit.config.certificates import certificate_problems, expiry_problems
from consolekit.config.consistency import role_problems
from consolekit.config.load import Loaded
from consolekit.core.errors import ConfigError
from consolekit.core.types import SystemClock

_log = logging.getLogger(__name__)


@click.command(cls=Command)
@config_option
@setting_option("--listen", "proxy.listen", "ADDRESS")
@setting_option("--base-url", "proxy.base_url", "URL")
@setting_option("--cert", "proxy.cert", "FILE")
@setting_option("--key", "proxy.key", "FILE")
@setting_option("--web-root", "proxy.web_root", "DIRECTORY")
@setting_option("--workers", "proxy.workers", "N")
@setting_option("--api-listen", "api.listen", "ADDRESS")
@setting_option("--admin-listen", "admin.listen", "ADDRESS")
@log_options
def serve(loaded: Loaded) -> int:
    """Serve browsers, the API and metrics.

    Runs until SIGTERM or Ctrl-C, then gives live consoles time to end (timeouts.drain_seconds); a second
    signal ends them at once. SIGHUP puts new workers with the configuration as it is now in the place of the
    old ones, which end with their last console. Everything else is set in the configuration: `consolekit
    config init` writes one with every key explained.
    """
    return _run(loaded, proxy=True, api=True)


@click.command(cls=Command)
@config_option
@setting_option("--listen", "proxy.listen", "ADDRESS")
@setting_option("--base-url", "proxy.base_url", "URL")
@setting_option("--cert", "proxy.cert", "FILE")
@setting_option("--key", "proxy.key", "FILE")
@setting_option("--web-root", "proxy.web_root", "DIRECTORY")
@setting_option("--workers", "proxy.workers", "N")
@setting_option("--admin-listen", "admin.listen", "ADDRESS")
@log_options
def proxy(loaded: Loaded) -> int:
    """Serve browsers only: the viewer page, websockets, metrics.

    Links come from `consolekit api`, or a program of yours, that shares the token store.
    """
    return _run(loaded, proxy=True, api=False)


@click.command(cls=Command)
@config_option
@setting_option("--listen", "api.listen", "ADDRESS")
@setting_option("--base-url", "proxy.base_url", "URL")
@setting_option("--cert", "api.cert", "FILE")
@setting_option("--key", "api.key", "FILE")
@log_options
def api(loaded: Loaded) -> int:
    """Serve the API only: it makes links that lead to a `consolekit proxy`.

    Both share the token store and know the same proxy.base_url.
    """
    return _run(loaded, proxy=False, api=True)


def _run(loaded: Loaded, *, proxy: bool, api: bool) -> int:
    config = loaded.config
    problems = role_problems(config, proxy=proxy, api=api) + certificate_problems(config)
    if problems:
        raise ConfigError(problems + plugin_problems(loaded))
    logs.set_up(config.log.format, config.log.level)
    if config.proxy.workers and config.tokens.store != "memory" and PARENT not in os.environ:
        if broken := plugin_problems(loaded):
            raise ConfigError(broken)
        from consolekit.cli import supervisor

        return supervisor.run(config, proxy=proxy, api=api)
    kit = build_kit(loaded)
    expired, soon = expiry_problems(config, SystemClock().now())
    for problem in expired + soon:
        _log.warning("%s", problem)
    viewer = web.status(config.proxy.web_root)
    if proxy and not viewer.present:
        _log.warning("noVNC is not there, so our own page shows no console: %s", viewer.cure)
    from consolekit.cli import server  # tornado comes with it: not for --help, not for a wrong configuration

    return server.run(config, kit, proxy=proxy, api=api)
