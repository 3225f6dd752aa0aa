"""Catalogue, case 49: the machine's clock is set forward and back while consoles are open."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway, echo, resume_key, target
from hostile import ask, console
from served import SETTINGS, Served, serving
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from consolekit.core.types import SystemClock

HOUR, YEARS = 3600.0, 10 * 365 * 86400.0
SERVE = """
[providers.lab]
use = "serial"
[providers.lab.servers]
demo = { address = "%s" }
"""


class SetClock:
    """The machine's clock, which somebody sets; what is measured by the other one goes on as it is."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._machine = SystemClock()

    def now(self) -> float:
        return self._machine.now() + self.shift

    def monotonic(self) -> float:
        return self._machine.monotonic()


async def talks(viewer: ClientConnection) -> None:
    await viewer.send(b"here")
    assert await viewer.recv() == b"here"


async def status(gateway: Gateway, token: str) -> int:
    return (await ask(gateway, gateway.handshake(token))).status


@pytest.mark.parametrize("shift", [HOUR, -HOUR, YEARS], ids=["an hour on", "an hour back", "ten years on"])
async def test_case_49_live_consoles_stay_and_tokens_are_judged_by_the_clock_as_it_is(shift: float) -> None:
    clock = SetClock()
    async with console(echo, clock=clock) as gateway:
        token, key, unused = await gateway.token(), resume_key(), await gateway.token()
        viewer = await gateway.open(token, resume=key)
        await talks(viewer)
        clock.shift = shift
        await talks(viewer)
        assert await status(gateway, unused) == (401 if shift > 0 else 101)
        assert await status(gateway, token) == 401, "a used token lives again"
        async with gateway.open(await gateway.token()) as new:
            await talks(new)
        await gateway.kit.store.purge()
        await talks(viewer)
        viewer.transport.abort()
        clock.shift = 0.0
        async with gateway.open(await gateway.token()) as new:
            await talks(new)
        await gateway.until_no_sessions()


# ---- the whole program, with a clock that a file sets

CLOCK = """
import pathlib, time
_machine, _file = time.time, pathlib.Path({file!r})
time.time = lambda: _machine() + float(_file.read_text())
"""


def token_of(served: Served) -> str:
    return str(served.link("demo", "serial/serial")["url"]).partition("token=")[2]


def show(served: Served, token: str, resume: str = "") -> connect:
    """A browser's websocket."""
    base = served.urls["proxy"]
    offers = ["binary", f"consolekit.token.{token}", f"consolekit.resume.{resume or resume_key()}"]
    options: dict[str, Any] = {"compression": None, "proxy": None, "ping_interval": None}
    return connect(f"ws{base.removeprefix('http')}/ws", subprotocols=offers, origin=base, **options)


async def refused(served: Served, token: str) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        await show(served, token)
    return refusal.value.response.status_code


def _set(file: Path, shift: float) -> None:
    new = file.with_suffix(".new")
    new.write_text(str(shift))
    new.replace(file)  # never empty


async def test_case_49_the_program_under_a_clock_that_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = tmp_path / "shift"
    shift.write_text("0")
    # libfaketime would be closer to the machine, but breaks clock_nanosleep, and so every time.sleep
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(file=str(shift)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    settings = SETTINGS + "[timeouts]\nping_seconds = 1\npong_seconds = 1\ndrain_seconds = 0\n"
    settings = settings.replace("[timeouts]\ndrain_seconds = 0\n", "", 1)
    async with target(echo) as endpoint:
        with serving(tmp_path, SERVE % endpoint.address, settings=settings) as served:

            async def token() -> str:
                return await asyncio.to_thread(token_of, served)

            used = await token()
            async with show(served, used) as viewer:
                await talks(viewer)
                for jump in (HOUR, -HOUR, YEARS, 0.0):
                    before = await token()
                    _set(shift, jump)
                    await talks(viewer)
                    assert await refused(served, used) == 401, "a used token lives again"
                    if jump > 0:
                        assert await refused(served, before) == 401, "a token outlived its time"
                    async with show(served, await token()) as new:
                        await talks(new)
                await talks(viewer)
            ended = [json.loads(line) for line in served.log.read_text().splitlines()]
    closed = [line for line in ended if line["message"] == "session closed"]
    assert {line["reason"] for line in closed} <= {"viewer_closed"}, closed
