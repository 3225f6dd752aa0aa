import pytest

from consolekit.auth.life import GrantLife, require_hash
from consolekit.core.errors import TokenRefused
from consolekit.testing import ManualClock, example_grant

GRANT = example_grant(ManualClock(1000.0), ttl=60, session_seconds=600)
FRESH = GrantLife(grant=GRANT)


@pytest.mark.parametrize(
    ("now", "alive"), [(1000.0, True), (1059.999, True), (1060.0, False), (1061.0, False)]
)
def test_a_fresh_grant_is_alive_before_expiry(now, alive):
    assert FRESH.live(now) is alive
    assert FRESH.forgettable(now) is not alive
    if alive:
        assert FRESH.taken(now, "key").used_at == now
    else:
        with pytest.raises(TokenRefused, match=r": expired$"):
            FRESH.taken(now, "key")


@pytest.mark.parametrize("key", ["other", "", "ke", "key ", "KEY"])
def test_only_the_same_key_resumes(key):
    with pytest.raises(TokenRefused, match=r": used$"):
        FRESH.taken(1001.0, "key").taken(1002.0, key)


def test_a_grant_taken_without_a_key_belongs_to_nobody():
    assert not FRESH.taken(1001.0, "").belongs_to("")
    assert not FRESH.belongs_to("")


def test_the_deadline_of_the_first_take_holds_through_resumes():
    life = FRESH.taken(1010.0, "key").taken(1500.0, "key")
    assert (life.used_at, life.resume_until) == (1010.0, 1610.0)
    with pytest.raises(TokenRefused, match=r": resume deadline passed$"):
        life.taken(1610.0, "key")


def test_a_release_sets_the_deadline_and_a_resume_lifts_it():
    life = FRESH.taken(1010.0, "key").released("peer_closed", 1130.0)
    assert (life.outcome, life.resume_until) == ("peer_closed", 1130.0)
    with pytest.raises(TokenRefused):
        life.taken(1130.0, "key")
    assert life.taken(1129.0, "key").resume_until == 1610.0


def test_a_release_never_prolongs_the_session():
    assert FRESH.taken(1010.0, "key").released("peer_closed", 9999.0).resume_until == 1610.0


def test_a_release_of_what_nobody_took_changes_nothing():
    assert FRESH.released("peer_closed", 1001.0) == FRESH


def test_a_used_grant_is_kept_until_expiry_for_its_outcome():
    life = FRESH.taken(1010.0, "key").released("connect_failed", 1010.0)
    assert not life.live(1010.0)
    assert not life.forgettable(1059.0)
    assert life.forgettable(1060.0)


@pytest.mark.parametrize(
    "wrong", ["", "ckt_" + "A" * 43, "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "g" * 64]
)
def test_what_is_no_hash_is_refused_without_quoting_it(wrong):
    with pytest.raises(ValueError, match=r"^a store keeps tokens by their SHA-256 in lower-case hex, never"):
        require_hash(wrong)
