"""auth.lasting: names of grants, ends that are remembered, and what a token may be made of."""

from __future__ import annotations

from typing import ClassVar

import pytest

from consolekit.auth.base import AccessContext
from consolekit.auth.lasting import LONGEST, LastingTokens, grant_name, is_sendable, place_name, sendable
from consolekit.auth.life import GrantLife
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Secret
from consolekit.testing import ManualClock, example_grant

TOKEN, MINE, OTHER = (
    Secret("theirs"),
    AccessContext(resume_hash="a" * 64),
    AccessContext(resume_hash="b" * 64),
)


class Issuer(LastingTokens):
    kind: ClassVar[str] = "test"

    async def inspect(self, token, context):
        if token != TOKEN:
            raise TokenRefused("not mine")
        return GrantLife(grant=example_grant(ManualClock(), id=self.name_of(token, context)))


def test_a_browser_that_comes_back_has_the_same_grant_and_nobody_else():
    mine = grant_name("test", TOKEN, MINE)
    assert mine.startswith("test-")
    assert mine == grant_name("test", TOKEN, MINE)
    others = [
        grant_name("test", *who) for who in ((TOKEN, OTHER), (Secret("x"), MINE), (TOKEN, AccessContext()))
    ]
    assert len({mine, *others, grant_name("test", TOKEN, AccessContext())}) == 5
    assert grant_name("test", Secret("\ud800"), MINE)


async def test_why_it_ended_is_told_to_its_browser_alone():
    tokens = Issuer()
    assert await tokens.outcome(TOKEN, MINE) is None
    grant = await tokens.validate(TOKEN, MINE)
    await tokens.released(grant, "viewer_gone", resumable=True)
    assert await tokens.outcome(TOKEN, MINE) == "viewer_gone"
    assert await tokens.outcome(TOKEN, OTHER) is None
    nobody = await tokens.validate(TOKEN, AccessContext())
    await tokens.released(nobody, "viewer_gone", resumable=True)
    assert await tokens.outcome(TOKEN, AccessContext()) is None
    with pytest.raises(TokenRefused):
        await tokens.outcome(Secret("x"), MINE)


async def test_only_the_latest_ends_are_remembered():
    tokens, clock = Issuer(), ManualClock()
    first = await tokens.validate(TOKEN, MINE)
    await tokens.released(first, "viewer_gone", resumable=True)
    for number in range(1024):
        await tokens.released(example_grant(clock, id=f"g{number}"), "viewer_gone", resumable=True)
    assert await tokens.outcome(TOKEN, MINE) is None


@pytest.mark.parametrize("text", ["a", "vm-1", "!#$%&'*+.^_`|~", "..a", "x" * LONGEST])
def test_what_a_browser_can_show(text):
    assert sendable(Secret(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a b",
        "a/b",
        "../a",
        "a:b",
        "a,b",
        "a\n",
        "\0",
        "\x7f",
        "ä",
        "\ud800",
        "a?",
        "x" * (LONGEST + 1),
    ],
    ids=range(15),
)
def test_what_no_browser_can_show_or_no_path_should_hold(text):
    assert not is_sendable(text)
    with pytest.raises(TokenRefused, match="malformed"):
        sendable(Secret(text))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.0.0.5", "10.0.0.5:1"),
        ("::1", "0000:0000:0000:0000:0000:0000:0000:0001:1"),
        ("no:address", "no:address:1"),
    ],
)
def test_a_place_has_a_name_that_a_server_may_have(host, name):
    assert place_name(host, 1) == name
