from __future__ import annotations

import hashlib

import pytest

from consolekit.api.callers import ANONYMOUS, Callers, KeyEntry, hash_of, new_key
from consolekit.core.errors import CallerRefused
from consolekit.core.types import Secret

KEY, OTHER, UNKNOWN = (Secret("cka_" + letter * 43) for letter in "kou")
CALLERS = Callers(
    {
        "portal": KeyEntry(sha256=hash_of(KEY), servers=("web-*",), subjects=("alice",)),
        "robot": KeyEntry(sha256=hash_of(OTHER)),
    }
)
TEXT = KEY.reveal()


class TestKeys:
    def test_look_like_keys_and_never_twice_the_same(self) -> None:
        keys = {new_key().reveal() for _ in range(100)}
        assert len(keys) == 100
        assert all(len(key) == 47 and key.startswith("cka_") for key in keys)

    def test_are_kept_as_sha256(self) -> None:
        assert hash_of(Secret("a")) == hashlib.sha256(b"a").hexdigest()

    @pytest.mark.parametrize(
        "sha256", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", TEXT, None]
    )
    def test_an_entry_holds_a_hash_and_nothing_else(self, sha256: str) -> None:
        with pytest.raises(ValueError, match="64 lower-case hex"):
            KeyEntry(sha256=sha256)

    def test_a_key_in_the_place_of_its_hash_is_not_told(self) -> None:
        with pytest.raises(ValueError, match="64 lower-case hex") as caught:
            KeyEntry(sha256=TEXT)
        assert TEXT not in str(caught.value)

    def test_patterns_are_everything_by_default_and_tuples_always(self) -> None:
        assert KeyEntry(sha256="a" * 64).servers == ("*",)
        assert KeyEntry(sha256="a" * 64, subjects=["a"]).subjects == ("a",)  # type: ignore[arg-type]  # from TOML

    def test_one_key_under_two_names_is_a_mistake(self) -> None:
        entry = KeyEntry(sha256=hash_of(KEY))
        with pytest.raises(ValueError, match="two API keys are the same"):
            Callers({"a": entry, "b": entry})


class TestIdentify:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
    def test_who_shows_a_key_is_its_caller(self, scheme: str) -> None:
        caller = CALLERS.identify([f"{scheme} {TEXT}"])
        assert (caller.name, caller.servers, caller.subjects) == ("portal", ("web-*",), ("alice",))
        assert CALLERS.identify([f"Bearer {OTHER.reveal()}"]).name == "robot"

    def test_secrets_are_for_keys_that_say_so(self) -> None:
        trusted = KeyEntry(sha256=hash_of(UNKNOWN), see_secrets=True)
        callers = Callers({"trusted": trusted, "robot": KeyEntry(sha256=hash_of(OTHER))})
        assert callers.identify([f"Bearer {UNKNOWN.reveal()}"]).see_secrets
        assert not callers.identify([f"Bearer {OTHER.reveal()}"]).see_secrets
        assert not Callers.anonymous().identify([]).see_secrets

    def test_nova_s_header_counts_where_it_is_given(self) -> None:
        assert CALLERS.identify([], [TEXT]).name == "portal"

    @pytest.mark.parametrize(
        ("authorization", "token"),
        [
            ([], []),
            ([""], []),
            (["Bearer"], []),
            (["Bearer "], []),
            ([TEXT], []),
            ([f"Basic {TEXT}"], []),
            ([f"Bearer {UNKNOWN.reveal()}"], []),
            ([f"Bearer {TEXT[:-1]}"], []),
            ([f"Bearer {TEXT}a"], []),
            ([f"Bearer {TEXT.upper()}"], []),
            ([f"Bearer {TEXT} {TEXT}"], []),
            ([f"Bearer {TEXT},Bearer {TEXT}"], []),
            ([f"Bearer {TEXT}\x00"], []),
            ([f"Bearer\t{TEXT}"], []),
            ([f" Bearer {TEXT}"], []),
            (["Bearer ckt_" + "a" * 43], []),
            (["Bearer " + "a" * 10240], []),
            (["Bearer \xff\xfe"], []),
            ([f"Bearer {hash_of(KEY)}"], []),
            ([f"Bearer {TEXT}"] * 2, []),
            ([f"Bearer {UNKNOWN.reveal()}"], [TEXT]),
            ([], [TEXT, TEXT]),
            ([], [f"Bearer {TEXT}"]),
            ([], ["\ud800"]),
        ],
    )
    def test_everything_else_is_one_refusal(self, authorization: list[str], token: list[str]) -> None:
        with pytest.raises(CallerRefused) as caught:
            CALLERS.identify(authorization, token)
        assert str(caught.value) == "no valid API key"
        assert caught.value.__cause__ is None

    def test_with_no_key_configured_nobody_is_known(self) -> None:
        with pytest.raises(CallerRefused):
            Callers({}).identify([f"Bearer {TEXT}"])

    def test_a_hash_alone_does_not_make_a_key(self) -> None:
        callers = Callers({"odd": KeyEntry(sha256=hash_of(Secret("short")))})
        with pytest.raises(CallerRefused):
            callers.identify(["Bearer short"])


def test_anonymous_lets_everybody_in_under_one_name() -> None:
    callers = Callers.anonymous()
    assert callers.is_anonymous
    assert not CALLERS.is_anonymous
    for authorization in ([], [f"Bearer {TEXT}"], ["nonsense"]):
        assert callers.identify(authorization).name == ANONYMOUS
