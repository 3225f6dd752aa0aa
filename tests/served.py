"""Test support: ``consolekit serve`` and ``consolekit demo`` as processes, as an operator runs them.

Importable as ``served``.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs

COMMAND = [str(Path(sys.executable).with_name("consolekit"))]
SETTINGS = """
[proxy]
workers = 0
listen = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
authentication = "none"
[admin]
listen = "127.0.0.1:0"
[tokens]
path = "tokens.db"
[timeouts]
drain_seconds = 0
[log]
format = "json"
level = "debug"
"""


@attrs.define
class Served:
    """A running ``consolekit serve``.

    Attributes:
        process: The process.
        log: File of everything that it logs.
        urls: ``proxy``, ``admin`` and, where there is one, ``api``.
    """

    process: subprocess.Popen[bytes]
    log: Path
    urls: dict[str, str]

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        """Call the API; status and answer."""
        return call(method, self.urls["api"] + path, body)

    def link(self, server_id: str, pair: str = "vnc/novnc", **more: object) -> dict[str, object]:
        """A link to a server's console, as the API gives it; ``more`` stands in the body too."""
        protocol, _, kind = pair.partition("/")
        body = {"protocol": protocol, "type": kind, **more}
        status, answer = self.call("POST", f"/servers/{server_id}/console", body)
        assert status == 200, answer
        return answer


def call(method: str, url: str, body: object = None) -> tuple[int, dict[str, object]]:
    """One HTTP call with JSON; status and answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.loads(refusal.read())


@contextlib.contextmanager
def serving(
    directory: Path, providers: str, *, settings: str = SETTINGS, role: str = "serve"
) -> Iterator[Served]:
    """Run ``consolekit serve``, or ``proxy``, with this ``[providers]`` part; at the end it must end well."""
    config, log = directory / "consolekit.toml", directory / "consolekit.log"
    config.write_text(settings + providers)
    with log.open("wb") as out:
        command = [*COMMAND, role, "--config", str(config)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            yield Served(process, log, listening(process, log, role))
        finally:
            process.terminate()
            try:
                code = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
    assert code == 0, log.read_text()


def listening(process: subprocess.Popen[bytes], log: Path, role: str) -> dict[str, str]:
    """Follow the log until it has said where everything is."""
    urls: dict[str, str] = {}
    last = "API" if role == "serve" else "metrics and probes"
    with log.open(encoding="utf-8") as lines:
        while not {"proxy", last} <= urls.keys():
            line = lines.readline()
            if match := re.search(r"(proxy|API|metrics and probes) on (http\S+?)[\"\s]", line):
                urls[match[1]] = match[2]
            elif not line and process.poll() is not None:
                raise AssertionError(f"consolekit {role} ended: {log.read_text()}")
    names = {"proxy": "proxy", "API": "api", "metrics and probes": "admin"}
    return {names[name]: url for name, url in urls.items()}
