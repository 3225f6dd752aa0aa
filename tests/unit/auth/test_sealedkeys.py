"""auth.sealedkeys: files of keys: refused, written whole, read again."""

from __future__ import annotations

import base64
import json
import logging
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from sealing import key_file

from consolekit.auth.sealedkeys import (
    ACTIVE,
    RETIRING,
    Key,
    KeyFile,
    KeySet,
    change_keys,
    new_key,
    read_keys,
    write_keys,
)
from consolekit.core.errors import ConfigError
from consolekit.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path, clock: ManualClock) -> Path:
    key_file(tmp_path / "keys.json", clock)
    return tmp_path / "keys.json"


def entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["keys"]
    return found


def put(path: Path, keys: object) -> None:
    path.write_text(json.dumps({"keys": keys}))


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    (problem,) = caught.value.problems
    assert problem.path == "keys_file"
    return problem.message


def text_of(material: bytes) -> str:
    return base64.urlsafe_b64encode(material).rstrip(b"=").decode()


def test_keys_come_back(tmp_path: Path) -> None:
    keys = KeySet((new_key(5), new_key(7))).rotated(9)
    write_keys(tmp_path / "k", keys, fresh=True)
    assert read_keys(tmp_path / "k") == keys
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["k"], "nothing half-written stays"


def test_a_new_file_replaces_nothing(path: Path, clock: ManualClock) -> None:
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        key_file(path, clock)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_link_to_a_file_stays_a_link(path: Path) -> None:
    link = path.parent / "link"
    link.symlink_to(path)
    write_keys(link, read_keys(link).rotated(9))
    assert link.is_symlink()
    assert len(read_keys(path).keys) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(path: Path) -> None:
    """Root rotates the keys of a service with a user of its own."""
    os.chown(path, 4321, 4322)
    write_keys(path, read_keys(path).rotated(9))
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4321, 4322, 0o600)
    assert len(read_keys(path).keys) == 2


def test_a_key_does_not_show_itself(path: Path) -> None:
    key = read_keys(path).sealing
    assert repr(key.material)[2:10] not in repr(read_keys(path))
    assert "material" not in repr(key)


def test_the_newest_active_key_seals() -> None:
    old, young = new_key(1), new_key(2)
    assert KeySet((young, old)).sealing == young
    assert KeySet((old, young)).sealing == young


def test_rotation(path: Path, clock: ManualClock) -> None:
    first = read_keys(path)
    second = first.rotated(int(clock.now()) - 1000)
    assert [key.state for key in second.keys] == [RETIRING, ACTIVE]
    assert second.sealing.kid != first.sealing.kid
    assert second.sealing.created >= first.sealing.created, "a clock that was set back changes nothing"
    assert second.get(first.sealing.kid) is not None
    third = second.without(first.sealing.kid)
    assert third.keys == (second.sealing,)


def test_two_who_rotate_at_once_wait_for_each_other(path: Path, clock: ManualClock) -> None:
    inside, others = threading.Barrier(2), []
    other = threading.Thread(target=lambda: (inside.wait(), others.append(change_keys(path, rotated))))

    def rotated(keys: KeySet) -> KeySet:
        return keys.rotated(int(clock.now()))

    def slowly(keys: KeySet) -> KeySet:
        inside.wait()
        other.join(0.1)
        assert other.is_alive()
        assert others == []
        return rotated(keys)

    other.start()
    change_keys(path, slowly)
    other.join()
    assert len(read_keys(path).keys) == 3


def test_a_change_that_cannot_be_leaves_the_file_as_it_was(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no key of that name"):
        change_keys(path, lambda keys: keys.without("none"))
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="nowhere"):
        change_keys(tmp_path / "nowhere" / "keys.json", lambda keys: keys)


@pytest.mark.parametrize(("kid", "said"), [("none", "no key of that name"), ("", "rotate first")])
def test_a_key_that_cannot_go(path: Path, kid: str, said: str) -> None:
    keys = read_keys(path)
    with pytest.raises(ValueError, match=said):
        keys.without(kid or keys.sealing.kid)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_file_that_others_may_use(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert f"its mode is {mode:04o}" in refusal(path)
    path.chmod(0o400)
    read_keys(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": text_of(os.urandom(31))}, "keys.0.k: must be 32 bytes long"),
        ({"k": text_of(os.urandom(33))}, "keys.0.k: must be 32 bytes long"),
        ({"k": ""}, "keys.0.k: must be 32 bytes long"),
        ({"k": text_of(bytes(range(32)))}, "keys.0.k: is a key that everybody knows"),
        ({"k": "saH0gFSP4XM_tAP_a5rU9ooHbltwLiJpL4LLLnrqQPw"}, "keys.0.k: is a key that everybody knows"),
        ({"k": text_of(bytes(32))}, "keys.0.k: is no random key"),
        ({"k": text_of(b"\xff\x00" * 16)}, "keys.0.k: is no random key"),
        ({"k": text_of(b"correct horse battery staple 0123")[:43]}, "keys.0.k: "),
        ({"k": text_of(b"a password, not a key: 0123456789"[:32])}, "keys.0.k: is no random key"),
        ({"k": text_of(os.urandom(32)) + "="}, "keys.0.k: no base64url"),
        ({"k": 5}, "keys.0.k: must be of type string"),
        ({"kty": "RSA"}, "keys.0.kty: must be oct"),
        ({"kid": "a b"}, "keys.0.kid: must match"),
        ({"kid": ""}, "keys.0.kid: must match"),
        ({"created": "today"}, "keys.0.created: must be of type integer"),
        ({"state": "retired"}, "keys.0.state: must be one of active, retiring"),
        ({"state": "retiring"}, "no key is active"),
        ({"alg": "HS256"}, "keys.0.alg: is not known here"),
    ],
    ids=range(18),
)
def test_a_wrong_key(path: Path, change: dict[str, Any], said: str) -> None:
    put(path, [{**entries(path)[0], **change}])
    message = refusal(path)
    assert said in message
    if isinstance(key := change.get("k"), str) and key:
        assert key not in message


def test_keys_that_are_the_same(path: Path) -> None:
    (entry,) = entries(path)
    put(path, [entry, {**entry, "k": text_of(os.urandom(32))}])
    assert "two keys have the same kid" in refusal(path)
    put(path, [entry, {**entry, "kid": "other"}])
    assert "two keys are the same key" in refusal(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("[]", "must be of type object"),
        ('{"keys": []}', "keys: "),
        ('{"keys": [], "keys": []}', "twice"),
        ('{"keys": [{}]}', "is required"),
        ('{"x": 1}', "x: is not known here"),
        (" " * 70_000, "too large"),
    ],
    ids=range(7),
)
def test_a_file_that_is_no_key_file(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    assert said in refusal(path)


def test_what_is_no_file(path: Path, tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none")
    assert "Is a directory" in refusal(tmp_path)
    assert "is no file" in refusal(Path("/dev/null"))


# ---- read again


def test_a_changed_file_is_read_at_most_once_a_second(path: Path, clock: ManualClock) -> None:
    file = KeyFile(path, clock=clock)
    first = file.keys()
    second = first.rotated(int(clock.now()))
    write_keys(path, second)
    clock.advance(0.9)
    assert file.keys() == first
    clock.advance(0.1)
    assert file.keys() == second


def test_a_file_that_has_not_changed_is_not_read_again(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = KeyFile(path, clock=clock)
    first = file.keys()
    for _ in range(3):
        clock.advance(2)
        assert file.keys() == first
    assert caplog.records == []
    second = first.rotated(int(clock.now()))
    write_keys(path, second)
    clock.advance(2)
    assert file.keys() == second
    (record,) = caplog.records
    told = "the keys of sealed tokens were read again: " + ", ".join(key.kid for key in second.keys)
    assert record.getMessage() == told


def test_trouble_is_named(path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    file = KeyFile(path, clock=clock)
    path.unlink()
    clock.advance(2)
    file.keys()
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"the keys of sealed tokens stay as they were: {path}: No such file or directory"]


def test_a_broken_file_keeps_the_old_keys_and_is_told_once(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    file, right = KeyFile(path, clock=clock), path.read_text()
    first = file.keys()

    def told() -> int:
        clock.advance(1)
        assert file.keys() == first
        return len([record for record in caplog.records if record.levelno == logging.ERROR])

    path.write_text("{")
    assert [told(), told(), told()] == [1, 1, 1]
    path.unlink()
    assert [told(), told()] == [2, 2], "another trouble is told anew"
    path.write_text(right)
    path.chmod(0o644)
    assert [told(), told()] == [3, 3]
    path.chmod(0o600)
    assert [told(), told()] == [3, 3]
    path.write_text("{")
    assert told() == 4, "after it was right, the same trouble is news"
    assert entries_of(first) not in caplog.text


def entries_of(keys: KeySet) -> str:
    return text_of(keys.sealing.material)


def test_a_file_that_cannot_be_used_at_the_start(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(ConfigError):
        KeyFile(tmp_path / "none", clock=clock)


def test_new_keys_differ() -> None:
    keys: list[Key] = [new_key(1) for _ in range(50)]
    assert len({key.kid for key in keys}) == len({key.material for key in keys}) == 50
