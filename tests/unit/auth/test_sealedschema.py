"""auth.sealedschema: what a configuration, a grant's name and a header may be."""

from __future__ import annotations

from typing import Any

import pytest

from consolekit.auth.sealedschema import CONFIG_SCHEMA, GRANT_ID, HEADER
from consolekit.core.schema import problems_of, validator_of

RIGHT = {"keys_file": "keys.json", "audience": "gw"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"max_seconds": 601}, "max_seconds"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"leeway_seconds": -1}, "leeway_seconds"),
        ({"leeway_seconds": 61}, "leeway_seconds"),
        ({"audience": ""}, "audience"),
        ({"issuers": "portal"}, "issuers"),
        ({"provider": ""}, "provider"),
        ({"key": "secret"}, "key"),
    ],
)
def test_a_wrong_configuration(change: dict[str, Any], path: str) -> None:
    problems = problems_of(validator_of(CONFIG_SCHEMA), {**RIGHT, **change})
    assert {problem.path for problem in problems} == {path}


def test_a_right_configuration() -> None:
    assert problems_of(validator_of(CONFIG_SCHEMA), RIGHT) == []
    missing = problems_of(validator_of(CONFIG_SCHEMA), {})
    assert [problem.path for problem in missing] == ["keys_file", "audience"]


@pytest.mark.parametrize("name", ["0123456789abcdef", "b48316c5-71e8-45e4-9884-6c78055b9b13", "order_00017"])
def test_a_grants_name(name: str) -> None:
    assert validator_of(GRANT_ID).is_valid(name)


@pytest.mark.parametrize(
    "name", ["short", "ckt_" + "a" * 43, "cka_" + "a" * 43, "a.b.c.d.e", "a" * 65, "a b c d"]
)
def test_what_looks_like_a_token_is_no_grants_name(name: str) -> None:
    assert not validator_of(GRANT_ID).is_valid(name)


def test_the_header_has_four_members_and_no_other() -> None:
    right = {"alg": "dir", "enc": "A256GCM", "kid": "a1", "typ": "consolekit+jwe"}
    assert HEADER.is_valid(right)
    assert not any(HEADER.is_valid({k: v for k, v in right.items() if k != name}) for name in right)
    assert not any(HEADER.is_valid({**right, name: ""}) for name in ("crit", "zip", "b64", "jku", "x", "apu"))
