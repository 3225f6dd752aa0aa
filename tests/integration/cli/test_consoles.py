"""cli.consoles: ``console open`` against the real API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from apiserver import ApiServer, running_api
from click.testing import CliRunner, Result
from consolesite import make_site

from consolekit.cli import consoles
from consolekit.cli.main import cli


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with running_api(make_site()) as running:
        yield running


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to the browser."""
    found: list[str] = []

    def open_window(url: str) -> bool:
        found.append(url)
        return True

    monkeypatch.setattr(consoles, "has_display", lambda _: True)
    monkeypatch.setattr(consoles, "open_window", open_window)
    return found


async def call(*args: str, env: dict[str, str] | None = None) -> Result:
    given = {"CONSOLEKIT_API_URL": None, "CONSOLEKIT_API_KEY": None, **(env or {})}
    return await asyncio.to_thread(
        CliRunner().invoke, cli, ["console", "open", *args], prog_name="consolekit", env=given
    )


async def test_the_link_of_a_gateway_opens(server: ApiServer, opened: list[str], tmp_path: Path) -> None:
    key_file = tmp_path / "api.key"
    key_file.write_text(server.key.reveal() + "\n")
    url = f"http://{server.host}"
    result = await call(
        "web-1", "--api", url, "--key-file", str(key_file), "--subject", "alice", "--ttl", "5"
    )
    assert result.exit_code == 0, result.stderr
    (link,) = opened
    assert link.startswith("https://consoles.example.org/gw/console/#token=ckt_")
    (grant,) = await server.site.store.grants()
    assert (grant.request.subject, grant.expires_at - grant.issued_at) == ("alice", 5)
    assert result.stdout == ""
    assert server.key.reveal() not in result.stderr


async def test_the_environment_names_the_gateway(server: ApiServer, opened: list[str]) -> None:
    env = {"CONSOLEKIT_API_URL": f"http://{server.host}/", "CONSOLEKIT_API_KEY": server.key.reveal()}
    result = await call("web-1", "--no-browser", env=env)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("&type=novnc\n")
    assert "consolekit token revoke " in result.stderr
    assert opened == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nobody"], 1, "error: There is no such server, or it has no console of this kind."),
        (["off-1"], 1, "error: The server is in a state that allows no console."),
        (["a b"], 2, "server_id: must match"),
        (["web-1", "--type", "webmks"], 2, "valid pairs: serial/serial, vnc/novnc"),
    ],
)
async def test_refusals_have_the_exit_codes_of_other_commands(
    server: ApiServer, opened: list[str], args: list[str], code: int, said: str
) -> None:
    result = await call(
        *args, "--api", f"http://{server.host}", env={"CONSOLEKIT_API_KEY": server.key.reveal()}
    )
    assert (result.exit_code, result.stdout, opened) == (code, "", [])
    assert said in result.stderr


async def test_a_wrong_key_and_nobody_there(server: ApiServer, unused_tcp_port: int) -> None:
    result = await call("web-1", "--api", f"http://{server.host}", env={"CONSOLEKIT_API_KEY": "cka_wrong"})
    assert result.exit_code == 1
    assert "A valid API key is needed" in result.stderr
    result = await call("web-1", "--api", f"http://127.0.0.1:{unused_tcp_port}")
    assert result.exit_code == 1
    assert f"error: http://127.0.0.1:{unused_tcp_port}: " in result.stderr
