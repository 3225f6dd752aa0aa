"""The token of another program, as ``docs/howto/sealed-tokens.md`` shows it, opens here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sealing import AUDIENCE, key_file

from consolekit.auth.base import AccessContext
from consolekit.auth.sealed import SealedTokens
from consolekit.auth.sealedkeys import read_keys, write_keys
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Secret, SystemClock

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "issue_token.py"


def made(*args: str) -> str:
    command = [sys.executable, str(EXAMPLE), *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def test_the_example_makes_a_token_that_opens(tmp_path: Path) -> None:
    keys, clock = tmp_path / "keys.json", SystemClock()
    key_file(keys, clock)
    write_keys(keys, read_keys(keys).rotated(int(clock.now())))
    token = made(str(keys), "web-1", "alice")
    sealed = SealedTokens(keys_file=str(keys), audience=AUDIENCE, clock=clock)
    grant = await sealed.validate(Secret(token), AccessContext())
    assert (grant.request.server_id, grant.request.subject, grant.provider) == ("web-1", "alice", "lab")
    with pytest.raises(TokenRefused):
        await sealed.validate(Secret(token[:-2] + "AA"), AccessContext())


def test_the_page_shows_the_example_and_every_claim() -> None:
    page = (ROOT / "docs" / "howto" / "sealed-tokens.md").read_text(encoding="utf-8")
    assert "issue_token.py" in page
    from consolekit.auth.sealedschema import CLAIMS

    schema = CLAIMS.schema
    names = {*schema["properties"], *schema["properties"]["console"]["properties"]}
    assert {name for name in names if not re.search(rf"`{name}`", page)} == set()
