"""Test support: what reloads and upgrades cost those who connect, and those who are connected.

Importable as ``reloading``. ``tests/integration/test_reload.py`` looks at what must be so,
``benchmarks/reload.py`` does it more often and keeps the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
from swarm import Door, Refused
from swarmsite import swarming
from workersite import Site

_PIECE, _PAUSE = 16 * 1024, 0.25  # 64 KiB a second


@attrs.define
class Newcomers:
    """Those who connect while it happens.

    Attributes:
        outcomes: How each of them fared: ``served``, or what went wrong.
        seconds: How long each one that was served took, from the connect to its last byte.
    """

    outcomes: Counter[str] = attrs.field(factory=Counter)
    seconds: list[float] = attrs.field(factory=list)

    async def visit(self, door: Door, token: str) -> None:
        """Open a console, say something, hear it back, close."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            console = await door.open(token)
        except Refused as exc:
            self.outcomes[f"status {exc.status}"] += 1
        except (OSError, TimeoutError) as exc:
            self.outcomes[type(exc).__name__] += 1
        else:
            console.send(b"12345678")
            if await console.hears(8):
                self.outcomes["served"] += 1
                self.seconds.append(loop.time() - begun)
                await console.close()
            else:
                self.outcomes[f"lost with {console.code}"] += 1


@attrs.define
class Stream:
    """One who is connected all the time.

    Attributes:
        sent: Bytes.
        whole: Whether the same bytes have come back in the same order, by SHA-256; None while it runs.
        code: Of the close frame, where the stream was cut.
    """

    sent: int = 0
    whole: bool | None = None
    code: int = 0

    async def run(self, door: Door, token: str, over: asyncio.Event) -> None:
        """Send random bytes until it is over, and compare."""
        out, back = hashlib.sha256(), hashlib.sha256()
        console = await door.open(token, back.update)
        while not over.is_set() and not console.ended.is_set():
            piece = os.urandom(_PIECE)
            out.update(piece)
            console.send(piece)
            self.sent += len(piece)
            await console.sent()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await over.wait()
        self.whole = await console.hears(self.sent) and out.digest() == back.digest()
        self.code = console.code
        await console.close()


@attrs.frozen
class Load:
    """Viewers, old and new.

    Attributes:
        site: The gateway.
        newcomers: How they fare.
        streams: The same of those who stay.
    """

    site: Site
    newcomers: Newcomers
    streams: list[Stream]


@contextlib.asynccontextmanager
async def under_load(
    directory: Path, *, rate: float, streams: int, most: int, workers: int = 2
) -> AsyncIterator[Load]:
    """A gateway with workers to which viewers come all the time; at the end all of them have ended.

    Args:
        directory: For its files.
        rate: New connections a second.
        streams: Viewers that stay.
        most: New connections at most.
        workers: Of the gateway.
    """
    async with swarming(directory, count=streams + most, workers=workers) as swarm:
        made, door, over = iter(swarm.tokens), swarm.door, asyncio.Event()
        result = Load(swarm.site, Newcomers(), [Stream() for _ in range(streams)])
        async with asyncio.TaskGroup() as group:
            for stream in result.streams:
                group.create_task(stream.run(door, next(made), over))
            group.create_task(_keep_coming(result.newcomers, door, lambda: next(made, ""), rate, over))
            try:
                yield result
            finally:
                over.set()


async def _keep_coming(
    newcomers: Newcomers, door: Door, token: Callable[[], str], rate: float, over: asyncio.Event
) -> None:
    """Each at its time, whatever became of those before."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    async with asyncio.TaskGroup() as group:
        while not over.is_set() and (shown := token()):
            group.create_task(newcomers.visit(door, shown))
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - loop.time()))


def summary(load: Load) -> dict[str, Any]:
    """What became of all of them; after the load has ended."""
    came = load.newcomers
    ordered = sorted(came.seconds)
    return {
        "new": came.outcomes.total(),
        "served": came.outcomes["served"],
        "not_served": {name: count for name, count in came.outcomes.items() if name != "served"},
        "new_p50_ms": round(ordered[len(ordered) // 2] * 1e3, 1),
        "new_p99_ms": round(ordered[len(ordered) * 99 // 100] * 1e3, 1),
        "new_worst_ms": round(ordered[-1] * 1e3, 1),
        "streams": len(load.streams),
        "whole": sum(stream.whole is True for stream in load.streams),
        "stream_bytes": sum(stream.sent for stream in load.streams),
    }
