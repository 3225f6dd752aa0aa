"""What the documentation shows, run: the embedded gateway, the hook plug-in, the provider and its tests."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from served import serving
from tornado.httpclient import AsyncHTTPClient
from websockets import Subprotocol
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_in_step
from workersite import echoing, providers, said_back

from consolekit import Action, Caller, ConsoleKey, ConsoleRequest, Hooks, SessionInfo
from consolekit.testing.rfbserver import RfbServer

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
KEY = ConsoleKey("vnc", "novnc")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_embedded_gateway_shows_a_console() -> None:
    """Portal -> redirect -> websocket -> the VNC server that the portal's own lookup named."""
    embed = load(EXAMPLES / "embed.py")
    said: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    async with RfbServer() as screen, asyncio.TaskGroup() as group:
        embed.DATABASE["web-1"]["vnc"] = screen.address
        group.create_task(embed.serve(stop, said.put_nowait))
        portal = (await said.get()).removeprefix("open ")
        answer = await AsyncHTTPClient().fetch(portal, follow_redirects=False, raise_error=False)
        assert answer.code == 302
        link = answer.headers["Location"]
        base, token = re.fullmatch(r"(http://[^/]+)/console/#token=([^&]+)&.*", link).groups()
        protocols = ["binary", f"consolekit.token.{token}"]
        async with connect(f"{base}/ws".replace("http", "ws"), subprotocols=protocols, origin=base) as viewer:
            assert viewer.subprotocol == "binary"
            assert await viewer.recv() == b"RFB 003.008\n"
        missing = await AsyncHTTPClient().fetch(portal.replace("web-1", "web-2"), raise_error=False)
        assert missing.code == 404
        stop.set()


def session(**more: object) -> SessionInfo:
    fixed = {"id": "s1", "grant_id": "g1", "key": KEY, "server_id": "web-1", "subject": "alice"}
    return SessionInfo(**fixed, address="192.0.2.7", started_at=100.0, issued_at=90.0, **more)  # type: ignore[arg-type]  # a table of fields


def test_audit_hook_writes_a_line_for_each_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    audit = load(EXAMPLES / "audit-hook" / "consolekit_audit.py").AuditLog()
    hooks = Hooks()
    hooks.register(audit)
    caller = Caller(name="portal")
    request = ConsoleRequest(key=KEY, server_id="web-1", subject="alice")
    hooks.permit(caller, Action.CREATE, server_id="web-1", subject="alice")
    hooks.notify("consolekit_request_validated", request=request, caller=caller)
    hooks.notify("consolekit_session_opening", session=session())
    hooks.notify("consolekit_session_opened", session=session())
    hooks.notify("consolekit_session_closed", session=session(ended_at=103.5, reason="viewer_closed"))
    hooks.notify("consolekit_access_refused", code="token_refused", address="192.0.2.8")
    audit._file.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["requested", "opened", "closed", "refused"]
    assert lines[1]["subject"] == "alice"
    assert lines[2].items() >= {key: lines[1][key] for key in lines[1].keys() - {"time", "event"}}.items()
    assert (lines[2]["seconds"], lines[2]["reason"]) == (3.5, "viewer_closed")


def as_if_installed(example: str, folder: Path) -> dict[str, str]:
    """An environment in which the example is installed: its module and its entry points, as pip does."""
    project = tomllib.loads((EXAMPLES / example / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    paths = [str(folder), str(EXAMPLES / example), str(ROOT)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HOME": str(folder)}


def run(*command: str, env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", ["acme-provider", "signed-tokens"])
def test_examples_pass_their_own_tests(example: str, tmp_path: Path) -> None:
    env = as_if_installed(example, tmp_path)
    tests = EXAMPLES / example
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), env=env, cwd=ROOT)


def consolekit(*words: str, env: dict[str, str], cwd: Path) -> str:
    script = "from consolekit.cli.main import main; main()"
    return run(sys.executable, "-c", script, *words, env=env, cwd=cwd)


def test_installed_provider_is_found_and_configured(tmp_path: Path) -> None:
    env = as_if_installed("acme-provider", tmp_path)
    (tmp_path / "machines.json").write_text("{}")
    (tmp_path / "consolekit.toml").write_text(
        '[api]\nauthentication = "none"\n\n'
        '[providers.lab]\nuse = "acme"\ninventory = "machines.json"\npassword = "sesame"\n'
    )
    listed = consolekit("providers", "list", "--config", "consolekit.toml", env=env, cwd=tmp_path)
    assert re.search(r"lab +acme +consolekit-acme 1.0 +vnc/novnc +ok", listed)
    consolekit("config", "check", "consolekit.toml", env=env, cwd=tmp_path)


def test_installed_validator_is_configured_by_name(tmp_path: Path) -> None:
    env = as_if_installed("signed-tokens", tmp_path)
    (tmp_path / "acme.key").write_bytes(b"key")
    (tmp_path / "consolekit.toml").write_text(
        '[api]\nauthentication = "none"\n\n'
        '[providers.lab]\nuse = "vnc"\n[providers.lab.servers.web-1]\naddress = "127.0.0.1:5900"\n\n'
        '[validators.acme]\nuse = "signed"\nkey_file = "acme.key"\nprovider = "lab"\n'
    )
    consolekit("config", "check", "consolekit.toml", env=env, cwd=tmp_path)


def test_installed_hook_is_enabled_by_name(tmp_path: Path) -> None:
    env = as_if_installed("audit-hook", tmp_path)
    (tmp_path / "consolekit.toml").write_text(
        '[api]\nauthentication = "none"\n\n[hooks]\nenabled = ["audit"]\n\n'
        '[providers.lab]\nuse = "vnc"\n[providers.lab.servers.web-1]\naddress = "127.0.0.1:5900"\n'
    )
    consolekit("config", "check", "consolekit.toml", env=env, cwd=tmp_path)


def test_the_audit_trail_of_a_running_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in as_if_installed("audit-hook", tmp_path).items():
        monkeypatch.setenv(name, value)
    trail = tmp_path / "audit.jsonl"
    monkeypatch.setenv("AUDIT_FILE", str(trail))
    with echoing() as address:
        lab = providers(("a", address))
        with serving(tmp_path, f'[hooks]\nenabled = ["audit"]\n{lab}') as site:
            url = str(site.link("a", "serial/serial", subject="alice")["url"])
            with connect_in_step(url, subprotocols=[Subprotocol("binary")]) as viewer:
                assert said_back(viewer, b"hello")
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["requested", "opened", "closed"]
    who = {"console": "serial/serial", "server": "a", "subject": "alice", "address": "127.0.0.1"}
    assert all(who.items() <= line.items() for line in lines[1:])
    end = {"reason": "viewer_closed", "bytes_in": 5, "bytes_out": 5, "session": lines[1]["session"]}
    assert end.items() <= lines[2].items()


def test_an_audit_trail_on_a_full_disk_stops_no_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in as_if_installed("audit-hook", tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AUDIT_FILE", "/dev/full")
    with echoing() as address:
        lab = providers(("a", address))
        with serving(tmp_path, f'[hooks]\nenabled = ["audit"]\n{lab}') as site:
            url = str(site.link("a", "serial/serial")["url"])
            with connect_in_step(url, subprotocols=[Subprotocol("binary")]) as viewer:
                assert said_back(viewer, b"hello")
    failed = [line for line in site.log.read_text().splitlines() if '"hook failed"' in line]
    assert len(failed) >= 3
    assert "No space left on device" in failed[0]


def test_the_calls_of_hooks_are_traced_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in as_if_installed("audit-hook", tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    monkeypatch.setenv("CONSOLEKIT_TRACE_HOOKS", "1")
    with echoing() as address:
        lab = providers(("a", address))
        with serving(tmp_path, f'[hooks]\nenabled = ["audit"]\n{lab}') as site:
            site.link("a", "serial/serial", subject="alice")
    lines = [json.loads(line) for line in site.log.read_text().splitlines() if '"hook called"' in line]
    calls = {(line["hook"], line["plugin"], line["outcome"]) for line in lines}
    assert ("consolekit_request_validated", "audit", "done") in calls
    assert not [line for line in lines if "alice" in json.dumps(line)]


def test_what_the_environment_does_not_name_is_not_imported(tmp_path: Path) -> None:
    env = as_if_installed("acme-provider", tmp_path)
    (tmp_path / "machines.json").write_text("{}")
    (tmp_path / "consolekit.toml").write_text(
        '[api]\nauthentication = "none"\n\n'
        '[providers.lab]\nuse = "acme"\ninventory = "machines.json"\npassword = "sesame"\n'
    )
    words = ("config", "check", "consolekit.toml")
    consolekit(*words, env={**env, "CONSOLEKIT_PLUGINS": "acme"}, cwd=tmp_path)
    with pytest.raises(AssertionError, match="'acme': CONSOLEKIT_PLUGINS does not name it; add it there"):
        consolekit(*words, env={**env, "CONSOLEKIT_PLUGINS": "other"}, cwd=tmp_path)


@pytest.mark.parametrize("name", ["first.toml", "hypervisors.toml", "tokens.toml", "vsphere.toml"])
def test_configurations_that_are_shown_are_right(name: str, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("CONSOLEKIT_")}
    checked = consolekit("config", "check", str(EXAMPLES / name), env=env, cwd=tmp_path)
    assert "is right" in checked
