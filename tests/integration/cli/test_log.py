"""The log of the real process: what its session lines say, and that nobody need read them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest
from dbservers import free_port
from parts import missing, require
from served import COMMAND, SETTINGS, Served, call, serving
from websockets import Subprotocol
from websockets.sync.client import ClientConnection, connect
from workersite import echoing

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "reference" / "log.md"
ENVELOPE = {"timestamp", "level", "logger", "message"}
AT_THE_END = {"reason", "seconds", "bytes_in", "bytes_out"}


@pytest.fixture
def providers() -> Iterator[str]:
    with echoing() as address:
        yield f'[providers.lab]\nuse = "serial"\n[providers.lab.servers.a]\naddress = "{address}"\n'


def console(site: Served, **more: object) -> ClientConnection:
    url = str(site.link("a", "serial/serial", **more)["url"])
    return connect(url, subprotocols=[Subprotocol("binary")], open_timeout=30)


def lines_until(log: Path, message: str) -> list[dict[str, object]]:
    """Every line of JSON up to the first with this message."""
    found = []
    with log.open(encoding="utf-8") as lines:
        while not found or found[-1]["message"] != message:
            line = lines.readline()
            if line:
                found.append(json.loads(line))
            else:
                time.sleep(0.01)
    return found


def test_a_session_is_one_line_of_json_at_its_begin_and_one_at_its_end(
    tmp_path: Path, providers: str
) -> None:
    fields = set(re.findall(r"^\| `(\w+)` \| ", PAGE.read_text().partition("## Requests")[0], re.MULTILINE))
    with serving(tmp_path, providers) as site:
        with console(site, subject="alice") as viewer:
            viewer.send(b"hello")
            assert viewer.recv(30) == b"hello"
            opened = lines_until(site.log, "session opened")[-1]
        closed = lines_until(site.log, "session closed")[-1]
    assert opened.keys() == ENVELOPE | fields - AT_THE_END
    assert closed.keys() == ENVELOPE | fields
    common = opened.keys() - {"timestamp", "message"}
    assert {name: opened[name] for name in common} == {name: closed[name] for name in common}
    told = {
        "console": "serial/serial",
        "server_id": "a",
        "subject": "alice",
        "provider": "lab",
        "mode": "interact",
        "remote_address": "127.0.0.1",
        "reason": "viewer_closed",
        "bytes_in": 5,
        "bytes_out": 5,
    }
    assert told.items() <= closed.items()


def test_a_refusal_says_why_and_to_whom(tmp_path: Path, providers: str) -> None:
    with serving(tmp_path, providers) as site:
        site.call("POST", "/servers/nobody/console", {"protocol": "serial", "type": "serial"})
    refused = next(
        line
        for line in map(json.loads, site.log.read_text().splitlines())
        if line["message"].startswith("refused, ")
    )
    told = {"code": "unknown_server", "status": 404, "remote_address": "127.0.0.1", "level": "INFO"}
    assert told.items() <= refused.items()


@contextlib.contextmanager
def served_to_nobody(
    directory: Path,
    providers: str,
    stderr: IO[bytes] | int,
    *,
    workers: int = 0,
    within: Sequence[str] = (),
    tokens: str = "tokens.db",
) -> Iterator[Served]:
    """``consolekit serve`` whose log nobody reads; it must begin and end well all the same.

    ``within`` is a command that becomes the one which follows; ``tokens`` is the store's file.
    """
    names = ("proxy", "api", "admin")
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in names}
    text = SETTINGS.replace("workers = 0", f"workers = {workers}").replace("tokens.db", tokens)
    for url in urls.values():
        text = text.replace("127.0.0.1:0", url.removeprefix("http://"), 1)
    config = directory / "consolekit.toml"
    config.write_text(text + providers)
    command = [*within, *COMMAND, "serve", "--config", str(config)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
    ) as process:
        try:
            site = Served(process, Path(os.devnull), urls)
            while not answers(urls["admin"] + "/readyz"):
                assert process.poll() is None
                time.sleep(0.05)
            yield site
        finally:
            process.terminate()
            try:
                assert process.wait(30) == 0
            finally:
                process.kill()


def answers(url: str) -> bool:
    try:
        return call("GET", url)[0] == 200
    except urllib.error.URLError:
        return False


def figure(site: Served, name: str) -> float:
    with urllib.request.urlopen(site.urls["admin"] + "/metrics", timeout=30) as response:
        text = response.read().decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]  # or it fails


def carries(site: Served) -> None:
    """A console opens, says back what it hears, closes."""
    with console(site) as viewer:
        says_back(viewer)


def says_back(viewer: ClientConnection) -> None:
    viewer.send(b"hello")
    assert viewer.recv(30) == b"hello"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pipe_that_nobody_reads_stops_no_console(tmp_path: Path, providers: str, workers: int) -> None:
    reading, writing = os.pipe()
    os.write(writing, bytes(fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)))  # it takes nothing more
    with (
        open(reading, "rb") as unread,
        open(writing, "wb") as stderr,
        served_to_nobody(tmp_path, providers, stderr, workers=workers) as site,
    ):
        for _ in range(10):
            carries(site)
        assert unread.read1() == bytes(4096)
        while b"session opened" not in unread.read1():  # and now somebody does
            carries(site)
    # and it ended with 0, though its last lines were never taken


def test_a_full_disk_stops_no_console_and_is_counted(tmp_path: Path, providers: str) -> None:
    with open("/dev/full", "wb") as full, served_to_nobody(tmp_path, providers, full) as site:
        carries(site)
        before = figure(site, "consolekit_log_lines_lost_total")
        assert before > 0
        carries(site)
        while figure(site, "consolekit_log_lines_lost_total") <= before:
            time.sleep(0.02)


def test_a_closed_pipe_stops_no_console(tmp_path: Path, providers: str) -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as stderr, served_to_nobody(tmp_path, providers, stderr) as site:
        os.close(reading)
        carries(site)
        while figure(site, "consolekit_log_lines_lost_total") == 0:
            carries(site)


ON_A_DISK = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@" 2>"$0/log"'  # in a mount namespace of its own


def status_of_a_link(site: Served) -> int:
    return site.call("POST", "/servers/a/console", {"protocol": "serial", "type": "serial"})[0]


def test_a_full_disk_under_log_and_tokens_ends_no_console_and_heals(tmp_path: Path, providers: str) -> None:
    unshare, disk = require("unshare", "util-linux"), tmp_path / "disk"
    disk.mkdir()
    within = [unshare, "--mount", "sh", "-c", ON_A_DISK, str(disk)]
    if subprocess.run([*within, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        missing("a file system of one's own needs root")
    tokens = str(disk / "tokens.db")
    with (
        served_to_nobody(tmp_path, providers, subprocess.DEVNULL, within=within, tokens=tokens) as site,
        console(site) as viewer,
    ):
        says_back(viewer)
        seen = Path(f"/proc/{site.process.pid}/root{disk}")  # the disk, from outside of its namespace
        refused = 0
        while refused < 3 or figure(site, "consolekit_log_lines_lost_total") == 0:
            fill(seen / "filler")  # each time: a failed write gives room back
            status = status_of_a_link(site)
            assert status in (200, 503)
            refused = refused + 1 if status == 503 else 0
        says_back(viewer)
        (seen / "filler").unlink()
        while status_of_a_link(site) != 200:
            time.sleep(0.02)
        carries(site)
        says_back(viewer)
        while "log lines were lost" not in (log := (seen / "log").read_text()):
            time.sleep(0.02)
    assert "works again" in log


def fill(file: Path) -> None:
    """Take what room there is."""
    for size in (65536, 1):
        with contextlib.suppress(OSError), file.open("ab", buffering=0) as filler:
            while filler.write(bytes(size)):
                pass
