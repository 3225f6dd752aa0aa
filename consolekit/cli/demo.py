"""CLI: ``demo``: a moving screen, the proxy and a link, all in this process. Writes no file."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading

import click

from consolekit import web
from consolekit.cli import logs
from consolekit.cli.browser import has_display, open_window
from consolekit.cli.frame import OK, Command
from consolekit.cli.output import note, say, warn
from consolekit.config.build import build_kit
from consolekit.config.load import Loaded
from consolekit.config.model import AdminConfig, ApiConfig, Config, ProviderConfig, ProxyConfig, TokensConfig
from consolekit.core.address import Address
from consolekit.core.types import Caller
from consolekit.kit import ConsoleKit

_HOST = "127.0.0.1"
_SECONDS = 600
_API_PORT = 6081


@click.command(cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=6080,
    show_default=True,
    metavar="PORT",
    help="Where the proxy listens on 127.0.0.1; another one is taken if it is not free.",
)
@click.option("--no-browser", is_flag=True, help="Print the link only; open no browser.")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens.")
def demo(port: int, no_browser: bool, verbose: bool) -> int:
    """Show a moving console in your browser.

    Brings its own small VNC server, so nothing need be installed or configured. Everything stays on this
    machine and is gone when it ends (Ctrl-C).
    """
    logs.set_up("text", "debug" if verbose else "error")
    viewer = web.status()
    if not viewer.present:
        warn(f"noVNC is missing, so the page will show no console. {viewer.cure}")
    try:
        return asyncio.run(_demo(_free(port), opens=not no_browser and has_display(os.environ)))
    except KeyboardInterrupt:  # before our handler stood, or after it was gone
        return OK


async def _demo(port: int, *, opens: bool) -> int:
    from consolekit.cli.server import Server  # tornado comes with it: not for --help
    from consolekit.testing.rfbserver import RfbServer

    async with RfbServer() as screen:
        config = _config(port, screen.address)
        kit = build_kit(Loaded(config=config))
        server = Server(config, kit)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        await server.start()
        try:
            url = await _link(kit)
            _present(url)
            _watch_enter(loop, kit)
            if opens:
                # a daemon: a browser that is still starting does not hold up our end
                threading.Thread(target=open_window, args=(url,), daemon=True).start()
            await server.wait()
        finally:
            await server.aclose()
    note("\nThe demo has ended.")
    return OK


def _config(port: int, screen: str) -> Config:
    return Config(
        proxy=ProxyConfig(listen=Address(_HOST, port)),
        api=ApiConfig(listen=Address(_HOST, _API_PORT if _is_free(_API_PORT) else 0), authentication="none"),
        admin=AdminConfig(listen=None),
        tokens=TokensConfig(store="memory", seconds=_SECONDS),
        providers={"demo": ProviderConfig(use="vnc", options={"servers": {"demo": {"address": screen}}})},
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as exc:
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _free(port: int) -> int:
    """This port, or 0 ("any") if somebody has it."""
    if port == 0 or _is_free(port):
        return port
    note(f"Port {port} is taken; using another one.")
    return 0


async def _link(kit: ConsoleKit) -> str:
    link = await kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=Caller(name="demo"))
    return link.url.reveal()


def _present(url: str) -> None:
    say()
    say("    " + click.style(url, bold=True, fg="green"))
    say()
    minutes = _SECONDS // 60
    say(f"Open this link in a browser (once, within {minutes} minutes); then type, click, paste.")
    say(f"{'Press Enter for a fresh link, ' if _has_terminal() else ''}Ctrl-C to end.")
    sys.stdout.flush()


def _has_terminal() -> bool:
    """Whether somebody can press Enter: a terminal, and we are not in its background."""
    if sys.stdin is None or not sys.stdin.isatty():  # None: closed before we began
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # not our session's terminal: it has no background for us to be in
        return True


def _watch_enter(loop: asyncio.AbstractEventLoop, kit: ConsoleKit) -> None:
    """On a terminal, Enter prints a fresh link."""
    if not _has_terminal():
        return
    printing: set[asyncio.Task[None]] = set()

    async def another() -> None:
        say("    " + click.style(await _link(kit), bold=True, fg="green"))

    def pressed() -> None:
        if sys.stdin.readline() == "":  # Ctrl-D: nobody types any more; the demo goes on
            loop.remove_reader(sys.stdin)
            return
        task = loop.create_task(another())
        printing.add(task)
        task.add_done_callback(printing.discard)

    loop.add_reader(sys.stdin, pressed)
