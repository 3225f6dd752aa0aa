"""The pytest plug-in: its fixtures, and what it costs those who only have consolekit installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FIXTURES = """
import socket
import time

from consolekit.testing.rfbserver import RfbServer


def test_peers_answer(consolekit_rfb_server, consolekit_serial_line, consolekit_serve):
    ports = [consolekit_rfb_server.port, consolekit_serve(RfbServer()).port]
    for port in ports:
        with socket.create_connection(("127.0.0.1", port)) as link:
            assert link.recv(12) == b"RFB 003.008\\n"
    with socket.create_connection(("127.0.0.1", consolekit_serial_line.port)) as link:
        link.sendall(b"\\r")
        assert link.recv(2) == b"\\r\\n"


def test_the_clock_stands(consolekit_clock):
    now = consolekit_clock.now()
    consolekit_clock.advance(5)
    assert consolekit_clock.now() == now + 5
"""

WRONG = """
from consolekit.testing import ProviderContract, check_handshake


class TestNothing(ProviderContract):
    async def make_provider(self):
        return None
"""

INNOCENT = """
import sys


def test_nothing_of_consolekit_is_imported():
    loaded = [name for name in sys.modules if name.split(".")[0] in ("consolekit", "tornado", "jsonschema")]
    assert loaded == []
"""


def pytest_on(source: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest elsewhere, where nothing of this project's configuration is."""
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    strangers = ("cacheprovider", "asyncio", "anyio", "hypothesispytest", "schemathesis")
    alone = [word for name in strangers for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *alone, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_its_fixtures_are_there_by_its_entry_point(tmp_path: Path) -> None:
    done = pytest_on(FIXTURES, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    listed = pytest_on(FIXTURES, tmp_path, "--fixtures").stdout
    assert "A VNC server with a moving picture" in listed


def test_whoever_tests_something_else_pays_nothing(tmp_path: Path) -> None:
    done = pytest_on(INNOCENT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_imports_only_pytest(tmp_path: Path) -> None:
    script = (
        "import sys, pytest; had = set(sys.modules); import pytest_consolekit; print(*set(sys.modules) - had)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["pytest_consolekit"]


def test_a_failed_check_says_what_to_do_and_shows_values(tmp_path: Path) -> None:
    done = pytest_on(WRONG, tmp_path, "-k", "written_for_this_contract")
    assert done.returncode == 1
    assert "make_provider gave a NoneType: give a ConsoleProvider" in done.stdout
    assert "isinstance(None, ConsoleProvider)" in done.stdout, "the kit's assertions are not rewritten"
