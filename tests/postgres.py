"""Test support: a PostgreSQL of its own, from the Debian package, in a temporary directory.

Importable as ``postgres``. Reachable by TCP on a free port of 127.0.0.1, with a password, and by a socket. It
can be stopped, killed and started again, always at the same port.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from dbservers import as_user, free_port
from parts import missing

USER = "consolekit"
PASSWORD = "c4n4ry-p4ss/w@rd"


def binaries() -> Path:
    """The folder of the newest server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        missing("no PostgreSQL server is installed: apt-get install postgresql")
    return found[-1].parent


class Postgres:
    """A server. ``database()`` gives a fresh, empty database."""

    def __init__(self, folder: Path) -> None:
        self._bin, self._folder, self.port = binaries(), folder, free_port()
        self._count = 0
        password = folder / "password"
        password.write_text(PASSWORD)
        self._as = as_user("postgres", folder)
        self._run("initdb", "-D", str(folder / "data"), "-U", USER, "--pwfile", str(password),
                  "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale", "C")  # fmt: skip
        with (folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write(
                f"listen_addresses='127.0.0.1'\nport={self.port}\nunix_socket_directories='{folder}'\n"
                "fsync=off\nmax_connections=150\nlog_statement=all\nshared_buffers=16MB\n"
            )
        self.start()

    @property
    def log(self) -> str:
        """What the server has logged, every statement with its parameters."""
        return (self._folder / "log").read_text(errors="replace")

    def _run(self, program: str, *words: str) -> str:
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        command = [*self._as, str(self._bin / program), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd="/")
        return done.stdout

    def start(self) -> None:
        """Start it; back when it takes connections."""
        # not captured: the server would keep the pipe open
        command = [*self._as, str(self._bin / "pg_ctl"), "-D", str(self._folder / "data"), "-w", "-s",
                   "-l", str(self._folder / "log"), "start"]  # fmt: skip
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``immediate`` as by a crash, ``fast`` politely."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-s", "-m", mode, "stop")

    def _pids(self) -> list[int]:
        first = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    def use_tls(self, certificate: bytes) -> None:
        """From now on it has this certificate and key (PEM), and takes TLS beside plain connections."""
        pem = self._folder / "data" / "server.pem"
        pem.write_bytes(certificate)
        pem.chmod(0o600)
        if self._as:
            shutil.chown(pem, "postgres", "postgres")
        for name, value in (("ssl_cert_file", pem.name), ("ssl_key_file", pem.name), ("ssl", "on")):
            self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.stop("fast")
        self.start()

    def freeze(self) -> None:
        """All its processes stand still; connections stay, and new ones are taken by the kernel alone."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def admit(self, address: str, subnet: str) -> None:
        """Listen there too, and let that network in; it is started again for that."""
        data = self._folder / "data"
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(f"listen_addresses='127.0.0.1,{address}'\n")
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {subnet} scram-sha-256\n")
        self.stop("fast")
        self.start()

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What an administrator does by hand; the rows as text."""
        return self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database,
                         "-v", "ON_ERROR_STOP=1", "-Atqc", statement)  # fmt: skip

    def dump(self, database: str) -> str:
        """Everything that is in a database."""
        return self._run("pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database)

    def database(self) -> str:
        """A fresh database; its name."""
        self._count += 1
        name = f"tokens{self._count}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def url(self, database: str, *, password: str | None = PASSWORD) -> str:
        """Where a database is, for a configuration."""
        word = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{USER}{word}@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server for a while."""
    binaries()
    folder = Path(tempfile.mkdtemp(prefix="ckpg"))
    try:
        server = Postgres(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
