"""Test support: a vCenter or an ESXi host to talk to: govmomi's simulator, built once.

Importable as ``vcenter``. What the simulator cannot do (faults, hangs, HTML) the front in ``vcfront`` does.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import trustme
from parts import missing, require

_ROOT = Path(__file__).parent.parent
_SOURCES = _ROOT / "tests" / "integration" / "vcsim"
_GOPATH = Path("/usr/share/gocode")
_GOVMOMI = _GOPATH / "src/github.com/vmware/govmomi/simulator"

HOST = "localhost"
USERNAME = "consolekit@vsphere.local"
PASSWORD = "c4n4ry-pa55word"


def built() -> Path:
    """The simulator's program; built the first time (a minute), then found in the build folder."""
    go = require("go", "golang-go")
    if not _GOVMOMI.is_dir():
        missing("govmomi is not installed: apt-get install golang-github-vmware-govmomi-dev")
    sources = sorted(_SOURCES.glob("*.go"))
    version = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    program = _ROOT / "build" / "vcsim" / f"vcsim-{version}"
    program.parent.mkdir(parents=True, exist_ok=True)
    with (program.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes, one build
        if not program.exists():
            for old in program.parent.glob("vcsim-*"):
                old.unlink()
            _build(go, program)
    return program


def _build(go: str, program: Path) -> None:
    places = {"GO111MODULE": "off", "GOPATH": str(_GOPATH), "GOFLAGS": "-trimpath"}
    new = program.with_suffix(".new")
    command = [go, "build", "-ldflags=-s -w", "-o", str(new), "."]
    subprocess.run(command, check=True, cwd=_SOURCES, env={**os.environ, **places})
    new.rename(program)


@attrs.frozen
class Simulator:
    """A running simulator.

    Attributes:
        address: ``127.0.0.1:port`` of its API.
        control: URL of its control.
        authority: The CA that signed its certificate, which is for ``localhost``.
        certificate: Its certificate (PEM).
        ticket_log: Gets a line of JSON for every ticket.
        ca_file: The CA as a file.
    """

    address: str
    control: str
    authority: trustme.CA
    certificate: bytes
    ticket_log: Path
    ca_file: Path

    @property
    def port(self) -> int:
        """The port of its API."""
        return int(self.address.rpartition(":")[2])

    def machines(self) -> list[dict[str, str]]:
        """Its machines: moid, name, host, instance_uuid, bios_uuid; in order of their names."""
        found: list[dict[str, str]] = self._ask("/machines")
        return sorted(found, key=lambda machine: machine["name"])

    def hosts(self) -> list[dict[str, str]]:
        """Its hosts: moid and name."""
        found: list[dict[str, str]] = self._ask("/hosts")
        return sorted(found, key=lambda host: host["name"])

    def change(self, **what: Any) -> None:
        """Change a machine (``vm=moid``) or host (``host=moid``) behind the API's back; see control.go.

        For a machine: power, connection, instanceUuid, biosUuid, name, viewers, maxViewers, extraConfig,
        runsOn, gone. For a host: connection, maintenance, name.
        """
        self._ask("/change", what)

    def forms(self, **forms: dict[str, Any]) -> None:
        """What tickets of a kind say: host, port, url (the ticket is appended), sha1, thumbprints, ..."""
        self._ask("/forms", forms)

    def tickets(self) -> int:
        """How many tickets it gave."""
        given: int = self._ask("/tickets")
        return given

    def given(self) -> list[dict[str, str]]:
        """The tickets it gave, in order: ticket, kind, vm, cfgFile."""
        if not self.ticket_log.exists():
            return []
        return [json.loads(line) for line in self.ticket_log.read_text().splitlines()]

    def _ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.control + path, data, timeout=30) as response:
            return json.loads(response.read() or b"null")


@contextlib.contextmanager
def simulated(
    directory: Path,
    *,
    tls: bool = True,
    esx: bool = False,
    vms: int = 2,
    off: bool = False,
    api: str = "8.0.3.0",
    authority: trustme.CA | None = None,
) -> Iterator[Simulator]:
    """Run a simulator until the block ends.

    Args:
        directory: Where its files are; an own one for each simulator.
        tls: False for plain HTTP, where the front speaks TLS.
        esx: A single ESXi host instead of a vCenter.
        vms: Machines in each of its resource pools.
        off: Leave them powered off.
        api: The API version that it announces.
        authority: The CA to sign its certificate; default: one of its own.
    """
    program = built()
    directory.mkdir(parents=True, exist_ok=True)
    authority = authority or trustme.CA()
    certificate = authority.issue_cert(HOST)
    ca, cert, key = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_pem.write_to_path(key)
    cert.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    log = directory / "tickets.jsonl"
    command = [str(program), f"-username={USERNAME}", f"-password={PASSWORD}", f"-vms={vms}", f"-api={api}"]
    command += [f"-tickets={log}", f"-esx={str(esx).lower()}", f"-off={str(off).lower()}"]
    command += [f"-cert={cert}", f"-key={key}"] if tls else []
    temporary = directory / "tmp"  # the simulator's datastores
    temporary.mkdir(exist_ok=True)
    with (directory / "vcsim.log").open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    with process:
        try:
            started = _started(process, directory)
            pem = certificate.cert_chain_pems[0].bytes()
            yield Simulator(started["url"], started["control"], authority, pem, log, ca)
        finally:
            process.terminate()
            assert process.wait(20) is not None
    left = list(temporary.iterdir())
    shutil.rmtree(temporary)
    assert left == [], "the simulator left its datastores behind"


def _started(process: subprocess.Popen[bytes], directory: Path) -> dict[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError((directory / "vcsim.log").read_text())
    told: dict[str, str] = json.loads(line)
    return told
