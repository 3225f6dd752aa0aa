"""Test support: the stores that a fleet of proxies can share: real servers, which can be frozen and killed.

Importable as ``fleetstores``. All of them are reachable over the network of ``hosts``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import postgres
from hosts import Network
from redisserver import RedisServer


@attrs.frozen(kw_only=True)
class FleetStore:
    """A store's server.

    Attributes:
        name: For people.
        tokens: The ``[tokens]`` part of a configuration.
        frozen: Stops it without closing anything, while it is entered.
        kill: Ends it as a crash does.
        start: Starts it again; back when it answers.
    """

    name: str
    tokens: str
    frozen: Callable[[], contextlib.AbstractContextManager[None]]
    kill: Callable[[], None]
    start: Callable[[], None]


@contextlib.contextmanager
def redis_store(network: Network, folder: Path) -> Iterator[FleetStore]:
    """Redis, which keeps on disk what it was told (``appendonly``)."""
    bind = " ".join(dict.fromkeys(("127.0.0.1", network.shared)))
    server = RedisServer(bind=bind, protected_mode="no", appendonly="yes")
    try:
        yield FleetStore(
            name="redis",
            tokens=f'[tokens]\nstore = "redis"\nurl = "redis://{network.shared}:{server.port}/0"\n',
            frozen=server.frozen,
            kill=server.kill,
            start=server.start,
        )
    finally:
        server.close()


@contextlib.contextmanager
def postgresql_store(network: Network, folder: Path) -> Iterator[FleetStore]:
    """PostgreSQL by the store ``sql``."""
    with postgres.running() as server:
        server.admit(network.shared, network.subnet)
        password = folder / "database-password"
        password.write_text(postgres.PASSWORD)
        url = server.url(server.database(), password=None).replace("127.0.0.1", network.shared)

        @contextlib.contextmanager
        def frozen() -> Iterator[None]:
            server.freeze()
            try:
                yield
            finally:
                server.thaw()

        yield FleetStore(
            name="postgresql",
            tokens=f'[tokens]\nstore = "sql"\nurl = "{url}"\npassword_file = "{password}"\n',
            frozen=frozen,
            kill=server.stop,
            start=server.start,
        )


STORES = {"redis": redis_store, "postgresql": postgresql_store}
