"""Test support: a MariaDB of its own, from the Debian package, in a temporary directory.

Importable as ``mariadb``. Reachable by TCP on a free port of 127.0.0.1, with a password, and by a socket.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from dbservers import as_user, free_port
from parts import require

USER = "consolekit"
PASSWORD = "c4n4ry-p4ss/w@rd"


class MariaDb:
    """A server. ``database()`` gives a fresh, empty database."""

    def __init__(self, folder: Path) -> None:
        self._server, self._client = (
            require("mariadbd", "mariadb-server"),
            require("mariadb", "mariadb-client"),
        )
        install = require("mariadb-install-db", "mariadb-server")
        self._folder, self.port, self._count = folder, free_port(), 0
        self._as = as_user("mysql", folder)
        command = [*self._as, install, "--no-defaults", f"--datadir={folder}/data", "--skip-test-db",
                   "--auth-root-authentication-method=normal"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd="/")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.sql(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO {USER}")

    def start(self) -> None:
        """Start it; back when it takes connections."""
        command = [*self._as, self._server, "--no-defaults", f"--datadir={self._folder}/data",
                   f"--socket={self._folder}/socket", f"--port={self.port}", "--bind-address=127.0.0.1",
                   "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=2",
                   "--innodb-buffer-pool-size=32M", "--performance-schema=0",
                   "--character-set-server=latin1", "--general-log=1",
                   f"--general-log-file={self._folder}/log", f"--pid-file={self._folder}/pid",
                   f"--log-error={self._folder}/errors"]  # fmt: skip
        self._process = subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + 30
        while True:
            try:
                self.sql("SELECT 1")
                return
            except subprocess.CalledProcessError:
                assert self._process.poll() is None, (self._folder / "errors").read_text(errors="replace")
                assert time.monotonic() < give_up
                time.sleep(0.05)

    @property
    def log(self) -> str:
        """Every statement, with its values."""
        return (self._folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """As by a crash."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """It stands still; connections stay, and new ones are taken by the kernel alone."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def sql(self, statement: str, database: str = "mysql") -> str:
        """What an administrator does by hand; the rows as text."""
        command = [self._client, "--no-defaults", f"--socket={self._folder}/socket", "-u", "root", "-NBe",
                   statement, database]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def dump(self, database: str) -> str:
        """Everything that is in a database."""
        tables = self.sql("SHOW TABLES", database).split()
        return "".join(self.sql(f"SELECT * FROM {table}", database) for table in tables)

    def database(self) -> str:
        """A fresh database; its name."""
        self._count += 1
        name = f"tokens{self._count}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def url(self, database: str, *, password: str | None = PASSWORD) -> str:
        """Where a database is, for a configuration."""
        word = "" if password is None else f":{quote(password, safe='')}"
        return f"mariadb://{USER}{word}@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def running() -> Iterator[MariaDb]:
    """A server for a while."""
    require("mariadbd", "mariadb-server")
    folder = Path(tempfile.mkdtemp(prefix="ckmdb"))
    try:
        server = MariaDb(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
