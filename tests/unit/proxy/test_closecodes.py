"""The table of ends: complete, sendable, and known to whoever asks."""

from consolekit.core.errors import every_error
from consolekit.proxy import closecodes, frames
from consolekit.proxy.closecodes import ENDS, close_code, describe, may_mend
from consolekit.proxy.viewer import _SLUGS


def test_every_code_is_one_that_rfc_6455_allows_or_says_nothing():
    for slug, end in ENDS.items():
        assert end.code == 1006 or frames.may_be_sent(end.code), slug


def test_whoever_is_cut_off_on_purpose_may_not_come_back():
    assert not any(ENDS[slug].resumable for slug in ("revoked", "session_over", "idle", "replaced"))
    assert all(ENDS[slug].resumable for slug in ("viewer_gone", "draining", "server_reset", "ping_timeout"))


def test_what_the_servers_ends_mean_is_in_the_table():
    for parting in (closecodes.AS_SAID, closecodes.MOVED, closecodes.TAKEN):
        assert set(parting) | set(parting.values()) <= set(ENDS)
        assert all(ENDS[slug].resumable for slug in parting.values())


def test_every_slug_of_the_codec_is_in_the_table():
    assert set(_SLUGS.values()) <= set(ENDS)


def test_describe_knows_ends_errors_and_says_something_of_the_rest():
    assert describe("revoked") == (ENDS["revoked"].title, False)
    for code, error in every_error().items():
        if code not in ENDS:
            assert describe(code) == (error.title, True)
    assert describe("no such thing") == (ENDS["internal"].title, True)


def test_trying_again_helps_where_nothing_else_must_happen_first():
    for slug, end in ENDS.items():
        assert may_mend(slug) is end.resumable, slug
    helps = {
        "connect_failed",
        "certificate_refused",
        "hypervisor_timeout",
        "console_limit_reached",
        "limit_reached",
    }
    helps_not = {
        "server_powered_off",
        "server_suspended",
        "server_gone",
        "unknown_server",
        "console_conflict",
    }
    assert {code for code in helps | helps_not | {"console_not_implemented"} if may_mend(code)} == helps
    assert may_mend("no such thing")


def test_close_code_of_an_unknown_slug_is_a_server_failure():
    assert close_code("revoked") == 4000
    assert close_code("no such thing") == 1011
    assert closecodes.ENDS["internal"].code == 1011
