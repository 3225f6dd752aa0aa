"""The scripts as texts; what they do is shown on a real Redis, in tests/contract."""

import hashlib

import pytest

from consolekit.auth import redisscripts
from consolekit.auth.redisscripts import SCHEMA_VERSION, Script

SCRIPTS = {name: each for name, each in vars(redisscripts).items() if isinstance(each, Script)}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_is_known_by_the_sha1_of_its_text(name):
    script = SCRIPTS[name]
    assert script.sha == hashlib.sha1(script.text.encode()).hexdigest()


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_names_no_key_but_below_the_base(name):
    assert "KEYS[1]" in SCRIPTS[name].text
    assert "KEYS[2]" not in SCRIPTS[name].text


def test_who_puts_first_says_whose_layout_it_is():
    assert f"':schema', '{SCHEMA_VERSION}'" in redisscripts.PUT.text
