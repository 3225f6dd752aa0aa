"""The units of ``deploy/`` under a real systemd, which is process 1 of namespaces of its own."""

from __future__ import annotations

import contextlib
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import attrs
import pytest
import websockets.exceptions
from initsystem import GROUP, UNIT, System, booted
from served import Served
from workersite import PATIENCE, Site, echoing, providers, said_back

pytestmark = pytest.mark.external
SETTINGS = '[api]\nauthentication = "none"\n[timeouts]\ndrain_seconds = 1\n'
#: Everything but the proxy's, which the socket decides: the network is their own.
URLS = {"api": "http://127.0.0.1:6081", "admin": "http://127.0.0.1:6082"}


@attrs.define
class Machine(Site):
    """A site that systemd runs."""

    system: System = attrs.field(kw_only=True)

    def main(self) -> int:
        return int(self.system.show("MainPID"))

    def spoil(self) -> str:
        """Make its configuration wrong; what it was."""
        right = self.config.read_text()
        self.config.write_text(right + "nonsense = [\n")
        return right


@pytest.fixture
def machine(tmp_path) -> Iterator[Machine]:
    root = tmp_path / "root"
    with booted(root) as system, echoing() as address, contextlib.ExitStack() as stack:
        config = root / "etc/consolekit/consolekit.toml"
        config.write_text(SETTINGS + providers(("a", address)))
        for path, mode in ((config.parent, 0o750), (config, 0o640)):
            os.chown(path, 0, GROUP)
            path.chmod(mode)
        served = Served(system.process, root / "var/log/consolekit", URLS)
        yield Machine(served, config, stack, system=system)


def is_told_to_come_back(console) -> bool:
    with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
        console.recv(timeout=PATIENCE)
    return closed.value.rcvd is not None and closed.value.rcvd.code == 1001


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return int(response.status)


def test_it_is_active_when_it_serves_has_what_it_needs_and_ends_well(machine):
    machine.system.done("start", UNIT)
    assert machine.system.show("ActiveState") == "active"
    assert machine.readiness() == (200, {"worker 1"})
    console = machine.console()
    assert said_back(console, b"through the sandbox")
    assert machine.figure("process_max_fds") > machine.figure("process_open_fds") > 0
    store = machine.system.root / "var/lib/private/consolekit/consolekit.db"
    status = machine.system.run("cat", f"/proc/{machine.main()}/status").stdout
    told = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert int(told["Uid"].split()[0]) == store.stat().st_uid != 0
    assert (int(told["CapEff"], 16), told["NoNewPrivs"], told["Seccomp"]) == (0, "1", "2")
    machine.system.done("stop", UNIT)
    assert is_told_to_come_back(console)
    assert (machine.system.show("ActiveState"), machine.system.show("Result")) == ("inactive", "success")


def test_a_reload_takes_a_right_file_and_fails_on_a_wrong_one(machine):
    machine.system.done("start", UNIT)
    console, main = machine.console(), machine.main()
    machine.system.done("reload", UNIT)
    machine.until(lambda: machine.readiness() == (200, {"worker 2"}))
    machine.spoil()
    assert machine.system.ctl("reload", UNIT).returncode == 1
    assert "is not TOML" in machine.system.log()
    assert machine.system.show("ActiveState") == "active"
    assert machine.readiness() == (200, {"worker 2"})
    assert machine.main() == main
    assert said_back(console, b"not cut")


def test_systemd_follows_an_upgrade_and_waits_for_the_new_parent(machine):
    machine.system.done("start", UNIT)
    old, first = machine.console(), machine.main()
    machine.system.done("kill", "--kill-whom=main", "--signal=USR1", UNIT)
    machine.until(lambda: machine.main() != first)
    new = machine.console()
    assert said_back(old, b"opened before")
    assert said_back(new, b"opened after")
    machine.system.done("stop", UNIT)
    assert is_told_to_come_back(new)
    assert machine.system.show("Result") == "success"


def test_the_first_connection_starts_it_and_a_restart_refuses_nobody(machine):
    machine.system.done("enable", "--now", "consolekit.socket")
    assert machine.main() == 0
    assert get("http://127.0.0.1:443/healthz") == 200
    assert said_back(machine.console(), b"on port 443, without a capability")
    failures: list[OSError] = []
    served: list[int] = []
    restarted = threading.Event()

    def call() -> None:
        while not restarted.is_set():
            try:
                served.append(get("http://127.0.0.1:443/healthz"))
            except OSError as exc:
                failures.append(exc)

    caller = threading.Thread(target=call)
    caller.start()
    before = machine.main()
    try:
        machine.system.done("restart", UNIT)
    finally:
        restarted.set()
        caller.join()
    assert machine.main() not in (0, before)
    assert failures == []
    assert set(served) == {200}


def test_starting_the_service_starts_its_socket_first(machine):
    machine.system.done("enable", "consolekit.socket")
    machine.system.done("start", UNIT)
    assert machine.system.show("SubState", "consolekit.socket") == "running"
    assert get("http://127.0.0.1:443/healthz") == 200


def test_a_wrong_configuration_is_said_once(machine):
    machine.spoil()
    assert machine.system.ctl("start", UNIT).returncode == 1
    assert machine.system.show("ActiveState") == "failed", "it is not tried again"
    assert (machine.system.show("ExecMainStatus"), machine.system.show("NRestarts")) == ("2", "0")
    assert machine.system.log().count("is not TOML") == 1


def test_one_that_stands_still_is_killed_and_replaced(machine):
    drop_in = machine.system.root / f"etc/systemd/system/{UNIT}.d/watchdog.conf"
    drop_in.write_text("[Service]\nWatchdogSec=3\n")
    machine.system.done("daemon-reload")
    machine.system.done("start", UNIT)
    stopped = machine.main()
    machine.system.done("kill", "--kill-whom=main", "--signal=STOP", UNIT)
    machine.until(lambda: machine.main() not in (0, stopped) and machine.system.show("SubState") == "running")
    assert machine.system.show("NRestarts") != "0"
    assert said_back(machine.console(), b"in the new one")
