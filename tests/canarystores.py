"""Test support: every token store, as a configuration names it, and a dump of all that it keeps.

Importable as ``canarystores``. A dump has the bytes at rest, and what the server was told besides: the
statements that it logged, the commands that it heard.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import attrs
import databases
import mariadb
import postgres
from canary import Hunt, inside
from redisserver import RedisServer

from consolekit.auth.base import TokenStore

Pieces = Iterable[tuple[str, bytes]]


@attrs.frozen(kw_only=True)
class Kept:
    """A store that is there.

    Attributes:
        tokens: The ``[tokens]`` part of a configuration.
        dump: What it keeps and was told, in pieces with names.
        away: It does not answer, while this is entered.
        others: Whether other processes can read it.
    """

    tokens: str
    dump: Callable[[TokenStore], Pieces]
    away: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    others: bool = True


def _files(folder: Path) -> Callable[[TokenStore], Pieces]:
    return lambda _: [(f"the file {path.name}", path.read_bytes()) for path in folder.iterdir()]


@contextmanager
def _memory(folder: Path, hunt: Hunt) -> Iterator[Kept]:
    def dump(store: TokenStore) -> Pieces:
        return [("the store's memory", "\n".join(inside(store)).encode("utf-8", "replace"))]

    yield Kept(tokens='store = "memory"', dump=dump, others=False)


@contextmanager
def _sqlite(folder: Path, hunt: Hunt) -> Iterator[Kept]:
    yield Kept(tokens=f'path = "{folder}/tokens.db"', dump=_files(folder))


@contextmanager
def _sql_sqlite(folder: Path, hunt: Hunt) -> Iterator[Kept]:
    url = f"sqlite:///{folder}/tokens.sqlite"
    yield Kept(tokens=f'store = "sql"\nurl = "{url}"', dump=_files(folder))


def _database(kind: str) -> Callable[[Path, Hunt], AbstractContextManager[Kept]]:
    @contextmanager
    def kept(folder: Path, hunt: Hunt) -> Iterator[Kept]:
        server = databases.server_of(kind)
        name = server.database()
        hunt.secret("the database's password", {"postgresql": postgres, "mariadb": mariadb}[kind].PASSWORD)
        before = len(server.log)  # others use the server too

        def dump(_: TokenStore) -> Pieces:
            return [("the database", server.dump(name).encode()), ("its log", server.log[before:].encode())]

        @contextmanager
        def away() -> Iterator[None]:
            server.stop()
            try:
                yield
            finally:
                server.start()

        yield Kept(tokens=f'store = "sql"\nurl = "{server.url(name)}"', dump=dump, away=away)

    return kept


@contextmanager
def _redis(folder: Path, hunt: Hunt) -> Iterator[Kept]:
    server = RedisServer(rdbcompression="no", appendonly="yes", appendfsync="always")
    password = hunt.secret("the password of Redis", secrets.token_urlsafe(24))
    try:
        # not by requirepass: the test itself must still be let in
        server.say("ACL", "SETUSER", "consolekit", "on", f">{password}", "~*", "&*", "+@all")
        file = folder / "redis-password"
        file.write_text(password)
        url = f"redis://consolekit@127.0.0.1:{server.port}/0"

        listening = contextlib.ExitStack()
        heard = listening.enter_context(server.monitored())

        def dump(_: TokenStore) -> Pieces:
            listening.close()  # it has said all that it was told
            server.say("SAVE")
            files = [path for path in server.directory.rglob("*") if path.is_file()]
            pieces = [(f"the file {path.name}", path.read_bytes()) for path in files]
            return [*pieces, ("what Redis was told", b"".join(heard))]

        @contextmanager
        def away() -> Iterator[None]:
            server.kill()
            try:
                yield
            finally:
                server.start()

        yield Kept(tokens=f'store = "redis"\nurl = "{url}"\npassword_file = "{file}"', dump=dump, away=away)
    finally:
        server.close()


STORES: dict[str, Callable[[Path, Hunt], AbstractContextManager[Kept]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sql over SQLite": _sql_sqlite,
    "sql over PostgreSQL": _database("postgresql"),
    "sql over MariaDB": _database("mariadb"),
    "redis": _redis,
}
