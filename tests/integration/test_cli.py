"""The installed program as a process: demo, serve, and what it says when something is wrong."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pytest

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "consolekit")
SECONDS = 30.0
URL = re.compile(
    r"http://127\.0\.0\.1:\d+/console/#token=ckt_[A-Za-z0-9_-]{43}&server=demo&protocol=vnc&type=novnc"
)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of this machine's own configuration, and no display."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CONSOLEKIT_")}
    for key in ("DISPLAY", "WAYLAND_DISPLAY"):
        kept.pop(key, None)
    return {**kept, "HOME": str(tmp_path), "CONSOLEKIT_TOKENS__PATH": str(tmp_path / "tokens.db")}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start the program; what a test leaves running is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(*args: str, **options: object) -> subprocess.Popen[str]:
        pipes: dict[str, object] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        settings: Any = {"stdin": subprocess.DEVNULL, **pipes, **options}
        process = subprocess.Popen([PROGRAM, *args], env=environment, text=True, **settings)
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "consolekit.toml"
    file.write_text(
        f'[proxy]\nlisten = "127.0.0.1:0"\n[api]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = ""\n'
        f'[api.keys.portal]\nsha256 = "{"ab" * 32}"\n'
        '[providers.lab]\nuse = "vnc"\n[providers.lab.servers.web-1]\naddress = "127.0.0.1:5900"\n'
    )
    return file


def read_until(stream: IO[str] | None, wanted: re.Pattern[str]) -> str:
    """Read lines until one has what is wanted; the match."""
    assert stream is not None
    said = ""
    while line := stream.readline():
        said += line
        if found := wanted.search(line):
            return found[0]
    raise AssertionError(f"ended without {wanted.pattern}: {said}")


def fetch(url: str, method: str = "GET", path: str = "/console/", body: str | None = None) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def test_demo_shows_a_page_and_ends_cleanly(start: Start) -> None:
    demo = start("demo", "--no-browser", "--port", "0")
    url = read_until(demo.stdout, URL)
    status, page = fetch(url)
    assert status == 200
    assert "<html" in page
    assert demo.stdout is not None
    assert [demo.stdout.readline() for _ in range(3)] == [
        "\n",
        "Open this link in a browser (once, within 10 minutes); then type, click, paste.\n",
        "Ctrl-C to end.\n",
    ]
    demo.send_signal(signal.SIGINT)
    assert ended(demo) == (0, "", "\nThe demo has ended.\n")


def test_demo_takes_another_port_and_says_so(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start("demo", "--no-browser", "--port", str(port))
        url = read_until(demo.stdout, URL)
        assert urlsplit(url).port != port
        demo.terminate()
        code, _, err = ended(demo)
    assert code == 0
    assert err.startswith(f"Port {port} is taken; using another one.\n")


def test_demo_gives_a_fresh_link_on_enter(start: Start) -> None:
    ours, its = pty.openpty()
    try:
        demo = start("demo", "--no-browser", "--port", "0", stdin=its)
        first = read_until(demo.stdout, URL)
        os.write(ours, b"\n")
        second = read_until(demo.stdout, URL)
        assert first != second
        assert urlsplit(first).port == urlsplit(second).port
        os.write(ours, b"\x04")  # Ctrl-D: nobody types any more
        assert fetch(first)[0] == 200
        demo.send_signal(signal.SIGINT)
        assert ended(demo)[0] == 0
    finally:
        os.close(ours)
        os.close(its)


def test_serve_answers_and_ends_on_a_signal(start: Start, config: Path) -> None:
    serve = start("serve", "-c", str(config))
    proxy = read_until(serve.stderr, re.compile(r"(?<=proxy on )http://127\.0\.0\.1:\d+"))
    api = read_until(serve.stderr, re.compile(r"(?<=API on )http://127\.0\.0\.1:\d+"))
    assert fetch(proxy, path="/healthz")[0] == 200
    status, body = fetch(
        api, "POST", "/servers/web-1/console", json.dumps({"protocol": "vnc", "type": "novnc"})
    )
    assert status == 401
    assert "caller_refused" in body
    serve.terminate()
    assert ended(serve)[0] == 0


def test_a_link_of_the_command_line_is_one_of_the_running_server(start: Start, config: Path) -> None:
    config.write_text(config.read_text().replace("[proxy]", '[proxy]\nbase_url = "http://127.0.0.1:1"'))
    serve = start("serve", "-c", str(config))
    read_until(serve.stderr, re.compile("API on"))
    code, link, note = ended(start("console", "create", "web-1", "-c", str(config), "--json"))
    assert code == 0, note
    grant = json.loads(link)["grant"]
    code, said, _ = ended(start("token", "revoke", grant, "-c", str(config)))
    assert (code, said) == (0, f"grant {grant} is revoked\n")


def test_serve_with_a_wrong_configuration(start: Start, config: Path) -> None:
    config.write_text(config.read_text().replace("address", "adress").replace('"vnc"', '"vnc"\nx = "s3cret"'))
    code, out, err = ended(start("serve", "-c", str(config), "--log-level", "debug"))
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "error: the configuration is wrong:"
    assert "providers.lab.servers.web-1.adress: is not known here; known: address" in err
    assert "Traceback" not in err
    assert "s3cret" not in err


def test_serve_on_a_taken_port(start: Start, config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = ended(start("serve", "-c", str(config), "--listen", address))
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert "already in use" in err
    assert "Traceback" not in err


def test_a_reader_that_goes_away(start: Start) -> None:
    completion = start("completion", "bash")
    assert completion.stdout is not None
    completion.stdout.close()
    completion.stdout = None
    assert "Traceback" not in ended(completion)[2]


def test_a_log_that_nobody_reads_keeps_nobody_waiting(start: Start, config: Path) -> None:
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    try:
        serve = start("serve", "-c", str(config), "-v", stderr=write_end)
        os.close(write_end)
        with os.fdopen(read_end, closefd=False) as log:
            proxy = read_until(log, re.compile(r"(?<=proxy on )http://127\.0\.0\.1:\d+"))
            read_until(log, re.compile("API on"))
        for _ in range(150):  # far more than the pipe holds, were each line to wait for its reader
            assert fetch(proxy, path="/" + "x" * 100)[0] == 404
        serve.terminate()
        assert serve.wait(SECONDS) == 0
    finally:
        os.close(read_end)


def test_a_log_whose_reader_has_gone_keeps_nobody_waiting(start: Start, config: Path) -> None:
    serve = start("serve", "-c", str(config))
    assert serve.stderr is not None
    proxy = read_until(serve.stderr, re.compile(r"(?<=proxy on )http://127\.0\.0\.1:\d+"))
    read_until(serve.stderr, re.compile("API on"))
    serve.stderr.close()
    serve.stderr = None
    assert fetch(proxy, path="/nothing")[0] == 404
    assert fetch(proxy, path="/healthz")[0] == 200
    serve.terminate()
    assert ended(serve)[0] == 0
