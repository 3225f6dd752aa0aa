"""A real QEMU as KubeVirt starts it: screen and serial line on unix sockets, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(kw_only=True)
class Machine:
    """A machine and its monitor."""

    vnc: Path
    serial: Path
    process: asyncio.subprocess.Process

    async def go(self) -> None:
        """Let its processor run."""
        await _say(self.process, "cont")

    async def stop(self) -> None:
        """End it, as the end of its domain does."""
        if self.process.returncode is None:
            await _say(self.process, "quit")
            await self.process.wait()


@asynccontextmanager
async def running(directory: Path, qemu: str) -> AsyncIterator[Machine]:
    """Start a machine without a disk; when it goes, its firmware shows a menu on the screen and on the line.

    It waits for ``go``, because what it says on the line before anybody listens is lost.

    Args:
        directory: For the sockets; its path must be short (unix(7): 107 bytes).
        qemu: The program.
    """
    vnc, serial = directory / "virt-vnc", directory / "virt-serial0"
    process = await asyncio.create_subprocess_exec(
        qemu,
        *("-nodefaults", "-machine", "pc,graphics=off", "-m", "32", "-vga", "std"),
        *("-vnc", f"unix:{vnc}", "-serial", f"unix:{serial},server=on,wait=off"),
        *("-boot", "menu=on,splash-time=60000", "-S", "-qmp", "stdio"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    machine = Machine(vnc=vnc, serial=serial, process=process)
    try:
        await _line(process)
        # The answer comes from the main loop: by then both sockets listen.
        await _say(process, "qmp_capabilities")
        await _line(process)
        yield machine
    finally:
        await machine.stop()
        process._transport.close()  # type: ignore[attr-defined]  # the subprocess API has no other way


async def _say(process: asyncio.subprocess.Process, command: str) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"execute": command}).encode() + b"\n")
    await process.stdin.drain()


async def _line(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, "QEMU did not start"
