from __future__ import annotations

import copy
import json
import pickle
from types import MappingProxyType

import attrs
import pytest

from consolekit.core.types import (
    Caller,
    ConsoleKey,
    ConsoleRequest,
    Endpoint,
    Grant,
    Revocation,
    Scope,
    Secret,
    SessionInfo,
    SystemClock,
    Transport,
)

VNC = ConsoleKey("vnc", "novnc")
CANARY = "c4n4ry-V41ue"


def grant(**fields: object) -> Grant:
    given: dict[str, object] = {
        "id": "g1",
        "request": ConsoleRequest(key=VNC, server_id="web-1", subject="alice"),
        "provider": "rack",
        "issued_at": 100.0,
        "expires_at": 160.0,
        "session_seconds": 60.0,
        **fields,
    }
    return Grant(**given)  # type: ignore[arg-type]  # given by the tests


def session(**fields: object) -> SessionInfo:
    given: dict[str, object] = {
        "id": "s1",
        "grant_id": "g1",
        "key": VNC,
        "server_id": "web-1",
        "subject": "alice",
        "address": "192.0.2.1",
        "started_at": 101.0,
        "issued_at": 100.0,
        **fields,
    }
    return SessionInfo(**given)  # type: ignore[arg-type]  # given by the tests


class TestSecret:
    @pytest.mark.parametrize(
        "shown",
        [
            str,
            repr,
            ascii,
            "{}".format,
            "{!r}".format,
            "{:>20}".format,
            lambda secret: f"{secret}",
            lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - the way of old code
            lambda secret: str([secret]),
            lambda secret: str({"a": secret}),
            lambda secret: repr(Endpoint(host="h", port=1, secret=secret)),
            lambda secret: str(attrs.asdict(Endpoint(host="h", port=1, secret=secret))),
        ],
    )
    def test_prints_stars_wherever_it_is_printed(self, shown: object) -> None:
        text = shown(Secret(CANARY))  # type: ignore[operator]  # a way to print
        assert CANARY not in text
        assert "***" in text

    def test_reveal_is_the_way_out(self) -> None:
        assert Secret(CANARY).reveal() == CANARY

    @pytest.mark.parametrize("leave", [json.dumps, pickle.dumps, copy.deepcopy])
    def test_is_not_written_by_accident(self, leave: object) -> None:
        with pytest.raises(TypeError) as caught:
            leave(Secret(CANARY))  # type: ignore[operator]  # a way to write
        assert CANARY not in str(caught.value)

    def test_equality_and_truth(self) -> None:
        assert Secret("a") == Secret("a")
        assert Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
        assert Secret("a")
        assert not Secret("")


class TestConsoleKey:
    def test_is_written_with_a_slash(self) -> None:
        assert str(VNC) == "vnc/novnc"
        assert ConsoleKey.parse("spice/spice-html5") == ConsoleKey("spice", "spice-html5")

    @pytest.mark.parametrize("text", ["", "vnc", "vnc/", "/novnc", "vnc/novnc/x", "VNC/novnc", "v nc/novnc"])
    def test_parse_refuses_what_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"must be|written"):
            ConsoleKey.parse(text)

    @pytest.mark.parametrize(
        "word", ["", "-a", "a-", "a--b", "1a", "é", "a\n", "a" * 65, 7, None, Secret("a")]
    )
    def test_words_are_checked(self, word: object) -> None:
        with pytest.raises(ValueError, match=r"protocol must be"):
            ConsoleKey(word, "novnc")  # type: ignore[arg-type]  # outside data
        with pytest.raises(ValueError, match=r"type must be"):
            ConsoleKey("vnc", word)  # type: ignore[arg-type]  # outside data

    def test_sorts_and_hashes(self) -> None:
        assert sorted([VNC, ConsoleKey("mks", "webmks")])[0].protocol == "mks"
        assert len({VNC, ConsoleKey("vnc", "novnc")}) == 1


class TestData:
    def test_is_frozen(self) -> None:
        for item in (VNC, grant(), session(), Caller(name="x"), Endpoint()):
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                item.id = "other"  # type: ignore[union-attr]  # that is the point

    def test_params_are_read_only_and_a_copy(self) -> None:
        params = {"port": 1}
        request = ConsoleRequest(key=VNC, server_id="a", subject="b", params=params)
        params["port"] = 2
        assert request.params == {"port": 1}
        assert isinstance(request.params, MappingProxyType)
        assert request == ConsoleRequest(key=VNC, server_id="a", subject="b", params={"port": 1})
        assert hash(request) == hash(ConsoleRequest(key=VNC, server_id="a", subject="b"))

    @pytest.mark.parametrize(
        ("endpoint", "shown"),
        [
            (Endpoint(host="h", port=5900), "h:5900"),
            (Endpoint(host="2001:db8::1", port=5900), "[2001:db8::1]:5900"),
            (Endpoint(transport=Transport.UNIX, path="/run/x.sock"), "unix:/run/x.sock"),
        ],
    )
    def test_addresses_are_for_people(self, endpoint: Endpoint, shown: str) -> None:
        assert endpoint.address == shown


class TestRevocation:
    @pytest.mark.parametrize(
        ("scope", "value", "cuts", "kills"),
        [
            (Scope.GRANT, "g1", True, True),
            (Scope.GRANT, "g2", False, False),
            (Scope.SESSION, "s1", True, False),
            (Scope.SESSION, "g1", False, False),
            (Scope.SERVER, "web-1", True, True),
            (Scope.SERVER, "web-2", False, False),
            (Scope.SUBJECT, "alice", True, True),
            (Scope.SUBJECT, "web-1", False, False),
        ],
    )
    def test_ends_what_it_names(self, scope: Scope, value: str, cuts: bool, kills: bool) -> None:
        order = Revocation(scope=scope, value=value, at=100.0)
        assert order.cuts(session()) is cuts
        assert order.kills(grant()) is kills

    @pytest.mark.parametrize(("at", "ends"), [(99.9, False), (100.0, True), (100.1, True)])
    def test_leaves_alone_what_is_issued_later(self, at: float, ends: bool) -> None:
        order = Revocation(scope=Scope.SERVER, value="web-1", at=at)
        assert order.cuts(session()) is ends
        assert order.kills(grant()) is ends


def test_the_system_clock_runs() -> None:
    clock = SystemClock()
    assert clock.now() > 1_700_000_000
    before = clock.monotonic()
    assert clock.monotonic() >= before
