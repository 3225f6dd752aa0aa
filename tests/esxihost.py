"""Test support: certificates of ESXi hosts, good and bad. Importable as ``esxihost``."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import attrs
import trustme

from consolekit.testing.authd import Identity

NAME = "localhost"


@attrs.frozen(kw_only=True)
class HostCertificate:
    """One certificate, as files, as a server shows it, and its CA."""

    identity: Identity
    ca_file: Path
    pem: str

    @property
    def context(self) -> ssl.SSLContext:
        return self.identity.context

    @property
    def sha256(self) -> str:
        return self.identity.sha256

    @property
    def sha1(self) -> str:
        return self.identity.sha1


def host_certificate(
    directory: Path, *names: str, expired: bool = False, authority: trustme.CA | None = None
) -> HostCertificate:
    """Make one for these names (default: ``localhost``).

    Args:
        directory: Where its files go; one of its own for each.
        *names: Names and addresses.
        expired: Its time was over a year ago.
        authority: Who signs; default: a new CA.
    """
    directory.mkdir(parents=True, exist_ok=True)
    authority = authority or trustme.CA()
    year = datetime.timedelta(days=365)
    now = datetime.datetime.now(datetime.UTC)
    times = {"not_before": now - 2 * year, "not_after": now - year} if expired else {}
    leaf = authority.issue_cert(*(names or (NAME,)), **times)  # type: ignore[arg-type]  # two datetimes
    cert, key, ca_file = directory / "cert.pem", directory / "key.pem", directory / "ca.pem"
    cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca_file)
    pem = leaf.cert_chain_pems[0].bytes().decode()
    return HostCertificate(identity=Identity.load(cert, key), ca_file=ca_file, pem=pem)


@contextlib.contextmanager
def in_background(front: AbstractAsyncContextManager[Any]) -> Iterator[Any]:
    """Run a front in a loop and thread of its own, for tests that do not wait themselves."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="host")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(front.__aenter__(), loop).result(30)
        try:
            yield front
        finally:
            asyncio.run_coroutine_threadsafe(front.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
