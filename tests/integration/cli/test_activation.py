"""``consolekit serve`` on sockets that a service manager holds, told about as systemd wants to be told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from served import COMMAND

#: What systemd does between fork and exec: the sockets become descriptors 3, 4, 5.
START = """
import os, sys
for place, fd in enumerate([os.dup2(fd, 100 + fd) for fd in map(int, sys.argv[1].split(","))]):
    os.dup2(fd, 3 + place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
CONFIG = """
[proxy]
listen = "127.0.0.1:1"
[api]
listen = "127.0.0.1:2"
authentication = "none"
[admin]
listen = ""
[tokens]
path = "tokens.db"
[timeouts]
drain_seconds = 0
[providers.lab]
use = "vnc"
servers = {}
"""


class Manager:
    """As much of systemd as this needs: it holds sockets, starts the program on them, and listens."""

    def __init__(self, directory: Path) -> None:
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.config, self.log = directory / "consolekit.toml", directory / "log"
        self.config.write_text(CONFIG)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(directory / "notify"))
        self.notified.settimeout(30)
        self._environment = {
            **os.environ,
            "LISTEN_FDS": "3",
            "LISTEN_FDNAMES": "proxy:api:admin",
            "NOTIFY_SOCKET": str(directory / "notify"),
            "WATCHDOG_USEC": "1000000",
        }

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in self.sockets]

    @contextlib.contextmanager
    def service(self):
        numbers = [sock.fileno() for sock in self.sockets]
        command = [sys.executable, "-c", START, ",".join(map(str, numbers))]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*command, *COMMAND, "serve", "--config", str(self.config)],
                env=self._environment,
                pass_fds=numbers,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def hears(self, wanted: bytes) -> None:
        while self.notified.recv(1000) != wanted:
            pass

    def close(self) -> None:
        for sock in (*self.sockets, self.notified):
            sock.close()


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path)
    yield made
    made.close()


def get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.status, response.read()


def test_it_serves_on_the_sockets_and_says_how_it_is(manager):
    proxy, api, admin = manager.urls
    with manager.service() as process:
        manager.hears(b"READY=1")
        assert json.loads(get(f"{proxy}/readyz")[1])["status"] == "ready"
        assert get(f"{admin}/metrics")[0] == 200
        assert get(f"{api}/openapi.json")[0] == 200
        manager.hears(b"WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.hears(b"STOPPING=1")
        assert process.wait(30) == 0


def test_a_restart_refuses_nobody(manager):
    proxy = manager.urls[0]
    with manager.service() as process:
        manager.hears(b"READY=1")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(get(f"{proxy}/healthz")[0]))
    caller.start()  # nobody serves just now: it waits in the backlog
    with manager.service():
        caller.join(30)
    assert answers == [200]


def test_an_upgrade_is_told_and_keeps_the_sockets(manager):
    proxy, _, admin = manager.urls
    with manager.service() as process:
        manager.hears(b"READY=1")
        process.send_signal(signal.SIGUSR1)
        while not (said := manager.notified.recv(1000)).startswith(b"MAINPID="):
            assert said in (b"READY=1", b"WATCHDOG=1")
        assert process.wait(30) == 0
        new, _, watchdog = said.partition(b"\n")
        assert watchdog == b"WATCHDOG=1", "its time begins anew"
        successor = int(new.removeprefix(b"MAINPID="))
        try:
            assert get(f"{proxy}/healthz")[0] == get(f"{admin}/readyz")[0] == 200
            assert manager.notified.recv(1000) == b"READY=1", "it waits for its turn; the old one is silent"
            manager.hears(b"WATCHDOG=1")
        finally:
            os.kill(successor, signal.SIGTERM)
        manager.hears(b"STOPPING=1")


def test_a_name_that_means_nothing_is_an_error_of_its_own(manager):
    manager._environment["LISTEN_FDNAMES"] = "consolekit.socket:api:admin"
    with manager.service() as process:
        assert process.wait(30) == 1
    log = manager.log.read_text()
    assert "handed over as consolekit.socket" in log
    assert "Traceback" not in log
