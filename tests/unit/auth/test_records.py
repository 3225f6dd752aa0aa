import json

import attrs
import pytest

from consolekit.auth.records import RecordError, grant_text, read_grant, read_session, session_text
from consolekit.core.types import ConsoleKey, ConsoleRequest, Grant, Mode, Secret, Target
from consolekit.testing import ManualClock, example_grant, example_session

CLOCK = ManualClock()
GRANT = example_grant(CLOCK)
INFO = example_session(GRANT, CLOCK)


def changed(text, **changes):
    return json.dumps(json.loads(text) | changes)


def test_a_grant_comes_back_equal_and_with_its_params_read_only():
    grant = read_grant(grant_text(GRANT))
    assert grant == GRANT
    with pytest.raises(TypeError):
        grant.request.params["new"] = 1


def test_a_session_info_comes_back_equal():
    assert read_session(session_text(INFO)) == INFO


def test_the_written_form_stays():
    """Files of an earlier release are read by this one."""
    written = (
        '{"id":"g1","request":{"key":"vnc/novnc","server_id":"web-1","subject":"ann","params":{"a":[1]}},'
        '"provider":"lab","issued_at":1.5,"expires_at":2.5,"session_seconds":60.0}'
    )
    request = ConsoleRequest(
        key=ConsoleKey("vnc", "novnc"), server_id="web-1", subject="ann", params={"a": [1]}
    )
    grant = Grant(
        id="g1", request=request, provider="lab", issued_at=1.5, expires_at=2.5, session_seconds=60.0
    )
    assert grant_text(grant) == written
    assert read_grant(written) == grant


def test_a_grant_with_a_field_of_a_newer_version_is_refused_by_its_name():
    """It may restrict the grant; to ignore it would open more than was granted."""
    with pytest.raises(RecordError, match=r"^the grant was .* newer consolekit: unknown fields view_only$"):
        read_grant(changed(grant_text(GRANT), view_only="canary"))
    request = json.loads(grant_text(GRANT))["request"] | {"recorded": "canary"}
    with pytest.raises(RecordError, match=r"newer consolekit: unknown fields recorded$"):
        read_grant(changed(grant_text(GRANT), request=request))


def test_every_field_of_a_newer_version_is_named_and_no_name_is_quoted_whole():
    long = "x" * 65
    with pytest.raises(RecordError, match=f"unknown fields audited, {'x' * 64}$"):
        read_grant(changed(grant_text(GRANT), audited=1, **{long: 1}))


def test_a_damaged_record_is_said_with_its_kind():
    with pytest.raises(RecordError, match=r"^the grant's record is damaged \(JSONDecodeError\)$"):
        read_grant("{")
    with pytest.raises(RecordError, match=r"^the session's record is damaged \(JSONDecodeError\)$"):
        read_session("{")


def test_a_grant_for_looking_says_so_and_one_of_an_earlier_release_interacts():
    request = attrs.evolve(GRANT.request, mode=Mode.VIEW)
    written = grant_text(attrs.evolve(GRANT, request=request))
    assert json.loads(written)["request"]["mode"] == "view"
    assert read_grant(written).request.mode is Mode.VIEW
    assert "mode" not in json.loads(grant_text(GRANT))["request"]
    assert read_grant(grant_text(GRANT)).request.mode is Mode.INTERACT


@pytest.mark.parametrize("mode", ["canary", "", None, "VIEW", 1])
def test_a_grant_of_a_mode_that_is_not_known_is_refused(mode):
    request = json.loads(grant_text(GRANT))["request"] | {"mode": mode}
    with pytest.raises(RecordError, match="damaged"):
        read_grant(changed(grant_text(GRANT), request=request))


def test_a_session_info_tells_its_mode():
    info = attrs.evolve(INFO, mode=Mode.VIEW)
    assert read_session(session_text(info)) == info
    older = json.loads(session_text(info))
    del older["mode"]
    assert read_session(json.dumps(older)).mode is Mode.INTERACT


def test_a_session_info_with_a_field_of_a_newer_version_is_read():
    assert read_session(changed(session_text(INFO), colour="blue")) == INFO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary",
        "[]",
        "null",
        "{}",
        changed(grant_text(GRANT), issued_at="canary"),
        changed(grant_text(GRANT), request={"key": "canary"}),
        changed(grant_text(GRANT), request=None),
    ],
)
@pytest.mark.parametrize("read", [read_grant, read_session])
def test_a_damaged_record_is_refused_without_quoting_it(read, text):
    with pytest.raises(RecordError) as caught:
        read(text)
    assert "canary" not in str(caught.value)


def test_a_secret_cannot_be_written():
    request = ConsoleRequest(
        key=ConsoleKey("vnc", "novnc"), server_id="s", subject="u", params={"p": Secret("canary")}
    )
    grant = Grant(id="g", request=request, provider="lab", issued_at=0, expires_at=1, session_seconds=1)
    with pytest.raises(TypeError) as caught:
        grant_text(grant)
    assert "canary" not in str(caught.value)


def test_a_grant_with_a_target_is_never_written():
    grant = attrs.evolve(GRANT, target=Target(host="esx", port=902, access=Secret("ticket")))
    with pytest.raises(ValueError, match=r"^a grant with a target is not stored$"):
        grant_text(grant)


def test_a_grant_with_a_target_is_never_read():
    """Who can write into the store must not say where the gateway connects to."""
    with pytest.raises(RecordError, match=r"unknown fields target$"):
        read_grant(changed(grant_text(GRANT), target={"host": "esx", "port": 902}))
