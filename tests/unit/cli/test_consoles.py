"""cli.consoles: a link from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Call = Callable[..., Result]


def test_the_link_alone_is_the_result(run: Call, file: Path) -> None:
    result = run("console", "create", "web-1", "-c", str(file), "--ttl", "5", "--subject", "alice")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("http://127.0.0.1:6080/console/#token=ckt_")
    assert result.stdout.count("\n") == 1
    assert "consolekit token revoke " in result.stderr
    assert "ckt_" not in result.stderr


def test_json(run: Call, file: Path) -> None:
    result = run("console", "create", "web-1", "-c", str(file), "--json")
    data = json.loads(result.stdout)
    assert set(data) == {"server", "protocol", "type", "mode", "url", "grant", "expires_at"}
    assert (data["server"], data["protocol"], data["type"]) == ("web-1", "vnc", "novnc")
    assert data["mode"] == "interact"
    assert "mode=" not in data["url"]


def test_a_link_for_looking(run: Call, file: Path) -> None:
    data = json.loads(run("console", "create", "web-1", "--view", "-c", str(file), "--json").stdout)
    assert data["mode"] == "view"
    assert data["url"].endswith("&mode=view")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nope"], 1, "error: no provider of vnc/novnc knows server nope"),
        (["a b"], 2, "server_id: must match"),
        (["web-1", "--type", "webmks"], 2, "console vnc/webmks is not offered; valid pairs: vnc/novnc"),
        (["web-1", "--type", "xvpvnc"], 1, "console vnc/xvpvnc: "),
        (["web-1", "--ttl", "601"], 2, "601 is not in the range 1<=x<=600"),
        (["web-1", "--subject", ""], 2, "subject: must "),
    ],
)
def test_what_cannot_be_had(run: Call, file: Path, args: list[str], code: int, said: str) -> None:
    result = run("console", "create", *args, "-c", str(file))
    assert result.exit_code == code
    assert result.stdout == ""
    assert said in result.stderr


def test_a_memory_store_is_another_processs(run: Call, file: Path) -> None:
    file.write_text(file.read_text().replace('path = "tokens.db"', 'store = "memory"'))
    result = run("console", "create", "web-1", "-c", str(file))
    assert result.exit_code == 2
    assert "tokens.store: is a store that only the running server sees; ask its API" in result.stderr


def test_no_provider(run: Call) -> None:
    env = {"CONSOLEKIT_TOKENS__STORE": "memory"}
    result = run("console", "create", "web-1", env=env)
    assert result.exit_code == 2


def test_an_open_port_makes_no_link(run: Call, file: Path) -> None:
    env = {"CONSOLEKIT_PROXY__LISTEN": "127.0.0.1:0"}
    result = run("console", "create", "web-1", "-c", str(file), env=env)
    assert result.exit_code == 2
    assert "proxy.base_url: is needed, since proxy.listen leaves the port open" in result.stderr
