"""Any text as a token, through validators of every kind at once: its grant, or one and the same error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import sealing
from hypothesis import given
from hypothesis import strategies as st

from consolekit.auth.base import AccessContext
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import SingleUse, StoredTokens
from consolekit.auth.tokenfile import FileTokens
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Secret
from consolekit.testing import ManualClock, example_grant

CLOCK = ManualClock()
WRITTEN = "written-in-a-file-0123456789"

texts = st.text(st.characters(exclude_categories=[]), max_size=200)
shaped = st.from_regex(r"\Ackt_[A-Za-z0-9_-]{43}\Z") | st.from_regex(
    r"\A([A-Za-z0-9_-]{1,30}\.){4}[A-Za-z0-9_-]{1,30}\Z"
)


class Door:
    """A chain, and the good token of each of its validators."""

    def __init__(self, folder) -> None:
        key = sealing.key_file(folder / "keys.json", CLOCK)
        (folder / "tokens").write_text(f"{WRITTEN}: 192.0.2.1:5900\n")
        store = MemoryTokenStore(clock=CLOCK)
        stored = StoredTokens(store, clock=CLOCK)
        sealed = sealing.tokens(folder / "keys.json", CLOCK)
        self.file = FileTokens(path=folder / "tokens", provider="lab", clock=CLOCK)
        self.chain = ValidatorChain([stored, SingleUse(sealed, store, clock=CLOCK), self.file])
        issued = asyncio.run(stored.issue(example_grant(CLOCK))).reveal()
        self.good = (issued, sealing.seal(key, sealing.claims(CLOCK)), WRITTEN)

    def opens(self, text: str) -> bool:
        """What redeem, inspect and outcome say; all refusals look the same from outside and quote nothing."""
        answers = [asyncio.run(self._answer(ask, text)) for ask in ("redeem", "inspect", "outcome")]
        assert len(set(answers)) == 1
        return answers[0]

    async def _answer(self, ask: str, text: str) -> bool:
        try:
            await getattr(self.chain, ask)(Secret(text), AccessContext(resume_hash="a" * 64))
        except TokenRefused as exc:
            refusal = exc
        else:
            return True
        assert (refusal.code, refusal.status) == ("token_refused", 401)
        assert refusal.public_detail == TokenRefused("").public_detail
        assert len(text) < 8 or text not in str(refusal)
        return False


@pytest.fixture(scope="module")
def door(tmp_path_factory) -> Iterator[Door]:
    made = Door(tmp_path_factory.mktemp("door"))
    yield made
    asyncio.run(made.file.aclose())


def test_the_good_ones_open(door):
    assert all(door.opens(text) for text in door.good)


@given(text=texts | shaped | st.binary(max_size=100).map(lambda data: data.decode("latin-1")))
def test_any_other_text_is_refused(door, text):
    assert not door.opens(text)


@given(data=st.data())
def test_a_good_one_with_anything_changed_is_refused(door, data):
    good = data.draw(st.sampled_from(door.good))
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(start + 3, len(good))))
    text = good[:start] + data.draw(st.text(max_size=3)) + good[end:]
    assert door.opens(text) is (text in door.good)


@given(data=st.data(), other=texts)
def test_what_stands_before_or_behind_a_good_one_is_not_cut_off(door, data, other):
    good = data.draw(st.sampled_from(door.good))
    for text in (good + other, other + good, good.upper(), good.lower()):
        assert door.opens(text) is (text in door.good)
