"""Properties of the console schema: what it accepts, what it tells, and that its two forms agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from consolesite import SERIAL, VNC, Rack, Wires, registry_of
from hypothesis import given
from hypothesis import strategies as st

from consolekit.core.errors import ConsoleKitError, ConsoleNotImplemented, InvalidRequest, UnsupportedConsole
from consolekit.core.schema import ConsoleSchema, validator_of
from consolekit.core.types import ConsoleKey

CANARY = "C4n4ry_V41ue"
SCHEMA = ConsoleSchema(registry_of(rack=Rack(), wires=Wires()))
DOCUMENT = validator_of(SCHEMA.document())
NOVA = validator_of(SCHEMA.nova_document())
PAIRS = (VNC, SERIAL)

words = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4}){0,2}", fullmatch=True)
known_words = st.sampled_from(["vnc", "novnc", "mks", "webmks", "serial", "spice", "spice-html5", "xvpvnc"])
texts = st.text(alphabet=st.characters(exclude_categories=[]), max_size=150)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)
server_ids = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._:@-]{0,127}", fullmatch=True)
subjects = st.text(
    alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=128
)
params = st.fixed_dictionaries(
    {},
    optional={
        "port": st.integers(-1, 4) | leaves,
        "label": st.from_regex(r"[a-z]{1,9}", fullmatch=True) | leaves,
    },
)
#: Requests that are often right and often wrong in one place.
requests = st.fixed_dictionaries(
    {"protocol": known_words | leaves, "type": known_words | leaves},
    optional={
        "subject": subjects | leaves,
        "ttl_seconds": st.integers(-1, 601) | leaves,
        "params": params | values,
        "extra": values,
    },
)


def accepts(data: object) -> bool:
    try:
        SCHEMA.validate("web-1", data, subject="alice")
    except (InvalidRequest, UnsupportedConsole, ConsoleNotImplemented):
        return False
    return True


@given(key=st.sampled_from(PAIRS), server_id=server_ids, subject=subjects, ttl=st.integers(1, 600))
def test_every_registered_pair_is_accepted_and_comes_out_as_it_went_in(
    key: ConsoleKey, server_id: str, subject: str, ttl: int
) -> None:
    data = {"protocol": key.protocol, "type": key.type, "subject": subject, "ttl_seconds": ttl}
    request = SCHEMA.validate(server_id, json.loads(json.dumps(data)), subject="nobody")
    assert (request.key, request.server_id, request.subject) == (key, server_id, subject)
    assert ConsoleKey.parse(str(request.key)) == key


@given(protocol=known_words | words, kind=known_words | words)
def test_every_other_pair_is_refused_with_the_list(protocol: str, kind: str) -> None:
    key = ConsoleKey(protocol, kind)
    if key in PAIRS or key == ConsoleKey("vnc", "xvpvnc"):
        return
    with pytest.raises(UnsupportedConsole) as caught:
        SCHEMA.validate("web-1", {"protocol": protocol, "type": kind}, subject="alice")
    assert caught.value.known == ("serial/serial", "vnc/novnc")
    assert "serial/serial, vnc/novnc" in caught.value.public_detail


@given(data=requests | values)
def test_whatever_comes_is_accepted_or_refused_in_our_words(data: object) -> None:
    try:
        SCHEMA.validate("web-1", data, subject="alice")
    except ConsoleKitError as error:
        json.dumps([error.title, error.public_detail]).encode()


@given(data=requests | values)
def test_the_exported_document_and_validate_agree(data: object) -> None:
    assert DOCUMENT.is_valid(data) is accepts(data)


@given(data=st.fixed_dictionaries({"protocol": known_words, "type": known_words}) | values)
def test_nova_s_document_accepts_the_same_pairs(data: object) -> None:
    plain = isinstance(data, dict) and set(data) == {"protocol", "type"}
    assert NOVA.is_valid({"remote_console": data}) is (plain and accepts(data))


@given(server_id=texts | server_ids)
def test_a_server_id_is_plain_ascii_or_refused(server_id: str) -> None:
    try:
        assert SCHEMA.check_server_id(server_id) == server_id
    except InvalidRequest:
        return
    assert server_id.isascii()
    assert not set(server_id) & set("/\\%?#&\"'<> \r\n\t\x00")
    assert not server_id.startswith((".", "-"))


def planted(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "port", "label"]), inner)


@given(
    place=st.sampled_from(["protocol", "type", "subject", "ttl_seconds", "params", "extra"]),
    canary=st.recursive(st.just(CANARY) | st.just(CANARY * 20), planted, max_leaves=6),
    key=st.sampled_from(PAIRS),
)
def test_no_error_quotes_what_it_was_given(place: str, canary: object, key: ConsoleKey) -> None:
    data = {"protocol": key.protocol, "type": key.type, place: canary}
    with pytest.raises(ConsoleKitError) as caught:  # the server id and the subject are always wrong
        SCHEMA.validate(CANARY + "/", data, subject=CANARY + "\n")
    assert CANARY not in str(caught.value) + caught.value.public_detail + repr(caught.value)


@given(depth=st.integers(1, 200))
def test_depth_is_no_matter(depth: int) -> None:
    nested: Any = 1
    for _ in range(depth):
        nested = {"a": nested}
    assert not accepts({"protocol": "vnc", "type": "novnc", "params": nested})
