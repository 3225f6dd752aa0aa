"""Test support: the databases that the ``sql`` store is tested over, each started when a test first wants it.

Importable as ``databases``; ``fresh`` gives the URL of an empty database.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
from pathlib import Path

import mariadb
import postgres

KINDS = ("sqlite", "postgresql", "mariadb")

_running = contextlib.ExitStack()
atexit.register(_running.close)


@functools.cache
def postgres_server() -> postgres.Postgres:
    """The one PostgreSQL of this test process; who stops it starts it again."""
    return _running.enter_context(postgres.running())


@functools.cache
def mariadb_server() -> mariadb.MariaDb:
    """The one MariaDB of this test process; who stops it starts it again."""
    return _running.enter_context(mariadb.running())


def server_of(kind: str) -> postgres.Postgres | mariadb.MariaDb:
    """The server of a kind that has one."""
    return postgres_server() if kind == "postgresql" else mariadb_server()


def fresh(kind: str, folder: Path) -> str:
    """The URL of an empty database; SQLite's file lies in the folder."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/tokens.sqlite"
    server = server_of(kind)
    return server.url(server.database())
