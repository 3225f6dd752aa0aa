from consolekit.auth.life import require_hash
from consolekit.testing import ManualClock, example_grant, example_hash, example_session

CLOCK = ManualClock(1000.0)


def test_examples_are_issued_now_and_differ():
    one, two = example_grant(CLOCK), example_grant(CLOCK, ttl=5, server_id="db-1", subject="bob")
    assert one.id != two.id
    assert (one.issued_at, one.expires_at, two.expires_at) == (1000.0, 1060.0, 1005.0)
    assert (two.request.server_id, two.request.subject) == ("db-1", "bob")


def test_an_example_session_is_its_grants():
    grant = example_grant(CLOCK, id="g")
    info = example_session(grant, CLOCK, id="s")
    assert (info.id, info.grant_id, info.server_id, info.issued_at) == ("s", "g", "web-1", 1000.0)


def test_an_example_hash_is_one():
    assert require_hash(example_hash("a")) != example_hash("b")
