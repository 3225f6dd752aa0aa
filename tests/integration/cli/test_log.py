"""The log of the real process: what its session lines say, and that nobody need read them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, serving
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
