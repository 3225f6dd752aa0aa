"""cli.consoles: a link from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from consolekit.cli import consoles

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


class Windows:
    """Notes what would be opened, on a machine with a display or without a browser."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, display: bool = True, browser: bool = True
    ) -> None:
        self.opened: list[str] = []
        self.browser = browser
        monkeypatch.setattr(consoles, "has_display", lambda _: display)
        monkeypatch.setattr(consoles, "open_window", self.open)
        for name in ("CONSOLEKIT_API_URL", "CONSOLEKIT_API_KEY", "CONSOLEKIT_API_KEY_FILE"):
            monkeypatch.delenv(name, raising=False)

    def open(self, url: str) -> bool:
        self.opened.append(url)
        return self.browser


def test_a_console_made_here_opens(run: Call, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(monkeypatch)
    result = run("console", "open", "web-1", "-c", str(file), "--view")
    assert result.exit_code == 0, result.stderr
    (opened,) = windows.opened
    assert opened.startswith("http://127.0.0.1:6080/console/#token=ckt_")
    assert opened.endswith("&mode=view")
    assert result.stdout == ""
    assert "ckt_" not in result.stderr


@pytest.mark.parametrize("display", [True, False])
def test_what_cannot_be_opened_is_printed(
    run: Call, file: Path, monkeypatch: pytest.MonkeyPatch, display: bool
) -> None:
    Windows(monkeypatch, display=display, browser=False)
    result = run("console", "open", "web-1", "-c", str(file))
    assert result.exit_code == 0
    assert result.stdout.startswith("http://127.0.0.1:6080/console/#token=ckt_")
    assert "consolekit token revoke " in result.stderr


def test_nothing_is_opened_where_none_is_wanted(
    run: Call, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Windows(monkeypatch)
    result = run("console", "open", "web-1", "-c", str(file), "--no-browser")
    assert result.stdout.startswith("http://")
    assert windows.opened == []


def test_a_link_that_is_no_page_is_not_given_to_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(monkeypatch)
    for url in ("ws://gw/?token=x", "file:///etc/passwd", "javascript:alert(1)", "--option", ""):
        assert not consoles._show(url)
    assert windows.opened == []


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (["--api", "https://gw", "-c", "x.toml"], {}, "--api and --config are two places to ask"),
        (["--api", "http://gw.example.org"], {}, "--api: must be https://"),
        ([], {"CONSOLEKIT_API_URL": "gw.example.org"}, "--api: is written https://HOST"),
        (["--api", "https://gw"], {"CONSOLEKIT_API_KEY": "two words"}, "--key-file: must be one word"),
        (["--api", "https://gw", "--ca-file", "/none.pem"], {}, "--ca-file: /none.pem: No such file"),
        (["--api", "https://gw", "--type", "No-Word"], {}, "--protocol, --type: type must be lower-case"),
    ],
)
def test_places_that_cannot_be_asked(
    run: Call, monkeypatch: pytest.MonkeyPatch, args: list[str], env: dict[str, str], said: str
) -> None:
    Windows(monkeypatch)
    result = run("console", "open", "web-1", *args, env=env)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr


def test_a_key_file_that_is_not_there(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Windows(monkeypatch)
    result = run("console", "open", "web-1", "--api", "https://gw", "--key-file", "/none.key")
    assert result.exit_code == 1
    assert "error: No such file or directory: /none.key" in result.stderr


def test_config_names_the_place_where_the_environment_names_another(
    run: Call, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Windows(monkeypatch)
    result = run("console", "open", "web-1", "-c", str(file), env={"CONSOLEKIT_API_URL": "https://gw"})
    assert result.exit_code == 0, result.stderr
    assert windows.opened[0].startswith("http://127.0.0.1:6080/")


def test_without_the_extra_the_cure_is_told(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Windows(monkeypatch)
    for name in [known for known in sys.modules if known.startswith("consolekit.client")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    result = run("console", "open", "web-1", "--api", "https://gw")
    assert result.exit_code == 2
    assert "pip install 'consolekit[client]'" in result.stderr
