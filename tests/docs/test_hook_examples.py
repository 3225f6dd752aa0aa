"""The hook examples of one file each: four eyes, and a notice for each console that opens."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from consolekit import Action, Caller, ConsoleKey, Hooks, Mode, SessionInfo
from consolekit.core.errors import PermitRefused
from consolekit.testing import ManualClock

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PORTAL = Caller(name="portal")
SESSION = SessionInfo(
    id="s1",
    grant_id="g1",
    key=ConsoleKey("vnc", "novnc"),
    server_id="web-1",
    subject="alice",
    address="192.0.2.7",
    started_at=100.0,
    issued_at=90.0,
)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- four eyes


class Office:
    """A directory of approvals, a clock, and hooks with the policy."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.clock = directory, ManualClock()
        self.hooks = Hooks()
        self.hooks.register(load("four_eyes").FourEyes(directory, clock=self.clock))

    def approve(self, name: str) -> Path:
        path = self.directory / name
        path.touch()
        os.utime(path, (self.clock.now(), self.clock.now()))
        return path

    def refusal(self, server_id: str = "prod-db-1", subject: str = "alice", **more: Any) -> str:
        wish = {"action": Action.CREATE, "mode": Mode.INTERACT} | more
        action = wish.pop("action")
        try:
            self.hooks.permit(PORTAL, action, server_id=server_id, subject=subject, **wish)
        except PermitRefused as refusal:
            return str(refusal)
        return ""


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_nobody_gets_a_production_console_alone(office: Office) -> None:
    assert "nobody has approved it" in office.refusal()
    office.approve("bob@prod-db-1")
    office.approve("alice@prod-db-2")
    assert "nobody has approved it" in office.refusal()
    office.approve("alice@prod-db-1")
    assert office.refusal() == ""


def test_what_needs_nobody(office: Office) -> None:
    assert office.refusal("web-1") == ""
    assert office.refusal(mode=Mode.VIEW) == ""
    assert office.refusal(action=Action.REVOKE, mode=None) == ""


def test_an_approval_is_old_after_ten_minutes_and_never_of_tomorrow(office: Office) -> None:
    path = office.approve("alice@prod-db-1")
    office.clock.advance(599.0)
    assert office.refusal() == ""
    office.clock.advance(1.0)
    assert "not of the last minutes" in office.refusal()
    os.utime(path, (office.clock.now() + 1, office.clock.now() + 1))
    assert "not of the last minutes" in office.refusal()


def test_ones_own_approval_does_not_count(office: Office) -> None:
    owner = office.approve("x").owner()
    office.approve(f"{owner}@prod-db-1")
    assert "one's own" in office.refusal(subject=owner)


def test_a_link_to_somebody_elses_file_is_none(office: Office) -> None:
    approved = office.approve("bob@prod-db-1")
    (office.directory / "alice@prod-db-1").symlink_to(approved)
    assert "no plain file" in office.refusal()
    (office.directory / "carol@prod-db-1").hardlink_to(approved)
    assert "no plain file" in office.refusal(subject="carol")


def test_names_do_not_leave_the_directory(office: Office) -> None:
    office.approve("x")
    assert "nobody has approved it" in office.refusal("prod-/../x", subject="../x")
    office.approve("..%2Fx@prod-%2F..%2Fx")
    assert office.refusal("prod-/../x", subject="../x") == ""


# ---- notify


@pytest.fixture
def hears() -> Iterator[tuple[str, list[Any]]]:
    """A webhook's address, and what was posted there."""
    heard: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_console_that_opens_is_told(hears: tuple[str, list[Any]]) -> None:
    url, heard = hears
    notify, hooks = load("notify").Notify(url), Hooks()
    hooks.register(notify)
    hooks.notify("consolekit_session_opened", session=SESSION)
    notify.close()
    told = {"console": "vnc/novnc", "mode": "interact", "address": "192.0.2.7"}
    assert heard == [{"text": "alice has opened the console of web-1", **told}]


def test_a_webhook_that_is_away_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    notify = load("notify").Notify("http://127.0.0.1:9/nobody")
    with caplog.at_level(logging.WARNING):
        notify.consolekit_session_opened(SESSION)
        notify.close()
    assert "a notice was not taken" in caplog.text


def test_a_webhook_that_hangs_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = load("notify")
    sending, go_on = threading.Event(), threading.Event()

    def hangs(self: object, notice: object) -> None:
        sending.set()
        go_on.wait()

    monkeypatch.setattr(module.Notify, "_send", hangs)
    notify = module.Notify("http://127.0.0.1:9/nobody", most=1)
    with caplog.at_level(logging.WARNING):
        notify.consolekit_session_opened(SESSION)
        sending.wait()
        for _ in range(2):  # one waits, one is too many
            notify.consolekit_session_opened(SESSION)
    assert caplog.text.count("was left out") == 1
    go_on.set()
    notify.close()
