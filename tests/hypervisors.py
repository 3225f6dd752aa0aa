"""Test support: real QEMU and TigerVNC on loopback, and certificates for them.

Context managers; each ends its process in every case. Where the program is missing the test is
skipped with the name of its Debian package. Readiness is told by the programs themselves (QEMU calls
our QMP socket, Xtigervnc writes its display number), so nothing sleeps and nothing is polled.

QEMU listens with a backlog of one: connect to it one after the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs
import trustme
from parts import require

from consolekit.providers.vnc.vncauth import vnc_response

START_SECONDS = 30.0

# d3des's key for password files, the same in every VNC; it hides, it does not protect
_PASSWORD_FILE_KEY = bytes([23, 82, 107, 6, 35, 78, 88, 7]).decode("latin-1")


@attrs.frozen(kw_only=True)
class Certificates:
    """A CA and one server certificate of it, as files; QEMU's names for them.

    Attributes:
        directory: Holds ``ca-cert.pem``, ``server-cert.pem`` and ``server-key.pem``.
        pin_sha256: SHA-256 of the server's certificate in hex.
    """

    directory: Path
    pin_sha256: str

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca-cert.pem"

    @property
    def cert_file(self) -> Path:
        return self.directory / "server-cert.pem"

    @property
    def key_file(self) -> Path:
        return self.directory / "server-key.pem"


def certificates(directory: Path, *names: str) -> Certificates:
    """Make a CA and a certificate for these names (default: ``localhost`` and ``127.0.0.1``)."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    leaf = authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
    authority.cert_pem.write_to_path(directory / "ca-cert.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "server-cert.pem")
    leaf.private_key_pem.write_to_path(directory / "server-key.pem")
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return Certificates(directory=directory, pin_sha256=hashlib.sha256(der).hexdigest())


@attrs.define
class Running:
    """A console's server that listens now.

    Attributes:
        address: As ``VncServer`` takes it: ``127.0.0.1:port`` or ``unix:/path``.
        process: The process.
    """

    address: str
    process: subprocess.Popen[bytes]

    @property
    def vnc_port(self) -> int:
        """The TCP port."""
        return int(self.address.rpartition(":")[2])

    @property
    def unix(self) -> Path:
        """The unix socket."""
        return Path(self.address.removeprefix("unix:"))


@attrs.define
class Qemu(Running):
    """A running QEMU with its QMP connection.

    Attributes:
        websocket_port: Where the same screen speaks websocket, at the path ``/``; 0 without.
    """

    _qmp: Qmp
    websocket_port: int = 0

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Call a QMP command; gives what it returns.

        ``screendump`` (filename=, format="png") and ``send-key`` are useful ones.
        """
        return self._qmp.call(command, **arguments)


class Qmp:
    """QEMU's control connection; the machine calls us, so its call says that it is there."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rw", encoding="utf-8")
        self._read()
        self.call("qmp_capabilities")

    def call(self, command: str, **arguments: Any) -> Any:
        """Call a command.

        Raises:
            RuntimeError: QEMU refuses it.
        """
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            answer = self._read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])

    def close(self) -> None:
        """Close our end."""
        self._file.close()

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise RuntimeError("QEMU has gone")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def qemu(
    *options: str,
    password: str | None = None,
    certs: Certificates | None = None,
    anonymous_tls: bool = False,
    unix: bool = False,
    screen: bool = False,
    websocket: bool = False,
) -> Iterator[Qemu]:
    """Run QEMU (no kvm) with a VNC server on a free port of 127.0.0.1, or on a unix socket.

    Args:
        *options: Further command line options.
        password: VNC password authentication; with TLS, VeNCrypt X509Vnc or TLSVnc.
        certs: VeNCrypt with this certificate.
        anonymous_tls: VeNCrypt without certificates.
        unix: Listen on a unix socket instead.
        screen: A machine whose BIOS shows text in 720x400 after half a second and waits 20 s for ESC,
            which opens the boot menu. Without it there is no machine, only a 640x480 picture.
        websocket: Listen for websockets too; with ``certs`` they are TLS from the first byte.
        websocket: Listen for websockets too.
    """
    program = require("qemu-system-x86_64", "qemu-system-x86")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(_short_directory()))
        vnc = [f"unix:{directory}/vnc.sock" if unix else "127.0.0.1:0,to=99", "share=force-shared"]
        command = [program, "-display", "none", "-nodefaults", *_machine(screen)]
        if password is not None:
            (directory / "password").write_text(password)
            command += ["-object", f"secret,id=password,file={directory}/password"]
            vnc.append("password-secret=password")
        if certs is not None or anonymous_tls:
            command += ["-object", _credentials(certs)]
            vnc.append("tls-creds=tls")
        if websocket:
            vnc.append("websocket=127.0.0.1:0")
        if websocket:
            vnc.append("websocket=on")
        command += ["-vnc", ",".join(vnc), *options]
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{directory}/qmp.sock")
        listener.listen(1)
        command += ["-qmp", f"unix:{directory}/qmp.sock"]
        process = stack.enter_context(_process(command))
        connection = stack.enter_context(_call_of(listener, process))
        qmp = Qmp(connection)
        stack.callback(qmp.close)
        (server,) = qmp.call("query-vnc-servers")
        ports = {where["websocket"]: where["service"] for where in server["server"]}
        address = f"unix:{directory}/vnc.sock" if unix else f"127.0.0.1:{ports[False]}"
        yield Qemu(address, process, qmp, int(ports.get(True, 0)))


def _machine(screen: bool) -> list[str]:
    if not screen:
        return ["-machine", "none"]
    return ["-vga", "std", "-m", "32", "-boot", "menu=on,splash-time=20000"]


def _credentials(certs: Certificates | None) -> str:
    if certs is None:
        return "tls-creds-anon,id=tls,endpoint=server"
    return f"tls-creds-x509,id=tls,dir={certs.directory},endpoint=server,verify-peer=no"


def _call_of(listener: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket:
    """Wait until the program calls us, or has died."""
    watch = os.pidfd_open(process.pid)
    try:
        ready, _, _ = select.select([listener, watch], [], [], START_SECONDS)
    finally:
        os.close(watch)
    if listener not in ready:
        raise RuntimeError(f"{process.args!r} did not start; its messages are on stderr")
    connection, _ = listener.accept()
    connection.settimeout(START_SECONDS)
    return connection


@contextmanager
def tigervnc(
    security_types: str,
    *options: str,
    password: str | None = None,
    certs: Certificates | None = None,
    unix: bool = False,
) -> Iterator[Running]:
    """Run TigerVNC's X server with a grey 320x240 screen, on a free port or a unix socket.

    Args:
        security_types: As its ``-SecurityTypes`` takes them: ``VncAuth``, ``X509Vnc,X509Plain``.
        *options: Further command line options.
        password: The VNC password.
        certs: For the X509 types.
        unix: Listen on a unix socket instead.
    """
    program = require("Xtigervnc", "tigervnc-standalone-server")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(_short_directory()))
        port = _free_port()
        command = [program, "-geometry", "320x240", "-SecurityTypes", security_types]
        command += ["-UseBlacklist=0", "-localhost", "-nolisten", "tcp", *options]
        if unix:
            command += ["-rfbunixpath", f"{directory}/vnc.sock", "-rfbport", "-1"]
        else:
            command += ["-rfbport", str(port)]
        if password is not None:
            data = vnc_response(password.encode().ljust(16, b"\0"), _PASSWORD_FILE_KEY)
            (directory / "password").write_bytes(data[:8])
            command += ["-PasswordFile", f"{directory}/password"]
        if certs is not None:
            command += ["-X509Cert", str(certs.cert_file), "-X509Key", str(certs.key_file)]
        ready, notify = os.pipe()
        stack.callback(os.close, ready)
        try:
            command += ["-displayfd", str(notify)]
            process = stack.enter_context(_process(command, pass_fds=[notify]))
        finally:
            os.close(notify)
        if not select.select([ready], [], [], START_SECONDS)[0] or not os.read(ready, 16):
            raise RuntimeError(f"{command!r} did not start; its messages are on stderr")
        yield Running(f"unix:{directory}/vnc.sock" if unix else f"127.0.0.1:{port}", process)


@contextmanager
def _process(command: list[str], pass_fds: list[int] | None = None) -> Iterator[Any]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, pass_fds=pass_fds or ())
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _short_directory() -> Iterator[str]:
    """A directory whose name leaves room for a socket's: their paths end at 107 bytes."""
    path = tempfile.mkdtemp(prefix="ck-")
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
