"""``consolekit serve`` with this provider, as an operator runs it; for tests."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """
[api]
authentication = "none"
listen = "127.0.0.1:0"
[proxy]
listen = "127.0.0.1:0"
[admin]
listen = ""
[tokens]
store = "memory"
[providers.cluster]
use = "kubevirt"
server = "{server}"
ca_file = "ca.crt"
token_file = "token"
"""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A running gateway's two addresses, and what it has logged so far."""

    proxy: str
    api: str
    log: list[str]


@asynccontextmanager
async def serving(directory: Path, server: str) -> AsyncIterator[Gateway]:
    """Serve the machines of an API server.

    Args:
        directory: Where ``ca.crt`` and ``token`` are.
        server: The API server's URL.
    """
    config = directory / "consolekit.toml"
    config.write_text(_CONFIG.format(server=server))
    program = str(Path(sys.executable).with_name("consolekit"))
    process = await asyncio.create_subprocess_exec(
        program, "serve", "--config", str(config), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    log: list[str] = []
    try:
        proxy = await _address(process.stderr, log, "proxy on ")
        api = await _address(process.stderr, log, "API on ")
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(process.stderr, log))
            yield Gateway(proxy=proxy, api=api, log=log)
            process.terminate()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # the subprocess API has no other way


async def _address(stream: asyncio.StreamReader, log: list[str], words: str) -> str:
    while line := (await stream.readline()).decode():
        log.append(line)
        if match := re.search(rf"{words}(http://\S+)", line):
            return match[1]
    raise AssertionError("".join(log))


async def _read(stream: asyncio.StreamReader, log: list[str]) -> None:
    while line := await stream.readline():
        log.append(line.decode())
