"""What docs/howto/embed.md shows: the client's example is run; tests/e2e/test_embedded.py runs the others."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from apiserver import running_api
from consolesite import make_site, session

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "howto" / "embed.md"


@pytest.mark.parametrize(
    ("server_id", "said"),
    [
        ("web-1", r"https://consoles\.example\.org/gw/console/#token=ckt_\S+\n1 sessions ended\n"),
        ("nobody", r"There is no such server\.\n0 sessions ended\n"),
        ("off-1", r"The server is in a state that allows no console\.\n0 sessions ended\n"),
        ("late-1", r"The server's console is not available at the moment\. Try again in 5 seconds\.\n0 .*\n"),
    ],
)
async def test_a_gateway_is_asked(server_id: str, said: str) -> None:
    async with running_api(make_site()) as server:
        await server.site.store.keep_sessions("tests", [session("s-1")])
        command = [
            sys.executable,
            str(ROOT / "examples" / "ask_gateway.py"),
            f"http://{server.host}",
            server_id,
        ]
        env = {**os.environ, "CONSOLEKIT_API_KEY": server.key.reveal()}
        done = await asyncio.to_thread(
            subprocess.run, command, env=env, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(said, done.stdout)


def test_every_part_that_the_page_shows_is_there() -> None:
    """Sphinx warns of a marker that is missing; this says so without Sphinx."""
    shown = re.findall(
        r"literalinclude\} \.\./\.\./(\S+)\n:language: python\n(?::start-after: \"(.+)\"\n)?"
        r"(?::end-before: \"(.+)\"\n)?",
        PAGE.read_text(encoding="utf-8"),
    )
    assert {name for name, _, _ in shown} == {
        f"examples/{name}.py"
        for name in ("ask_gateway", "django_portal", "embed", "fastapi_app", "tornado_app")
    }
    for name, start, end in shown:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert 0 <= text.find(start) < text.find(end), f"{name}: {start} to {end}"
