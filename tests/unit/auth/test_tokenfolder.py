"""auth.tokenfolder: which files count, and when they are read again."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

import pytest

from consolekit.auth.tokenfolder import TokenFolder
from consolekit.auth.tokenlines import digest_of

FAR = 4e9  # seconds: whatever was written is settled by then
A, B = "first-token-0123456789", "other-token-0123456789"


def write(path: Path, *tokens: str) -> Path:
    path.write_text("".join(f"{token}: h:{5900 + number}\n" for number, token in enumerate(tokens)))
    return path


def found(folder: TokenFolder, now: float = FAR) -> set[str]:
    digests = set(folder.tokens(now))
    return {token for token in (A, B) if digest_of(token) in digests}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d").mkdir()
    return tmp_path / "d"


def warned(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_file_is_read_again_when_it_changes(tmp_path):
    file = write(tmp_path / "tokens", A)
    tokens = TokenFolder(file)
    assert found(tokens) == {A}
    write(file, A, B)
    assert found(tokens) == {A, B}
    write(tmp_path / "new", B).rename(file)
    assert found(tokens) == {B}
    file.unlink()
    assert found(tokens) == set()
    write(file, A)
    assert found(tokens) == {A}


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path, monkeypatch):
    tokens = TokenFolder(write(tmp_path / "tokens", A))
    assert found(tokens) == {A}
    monkeypatch.setattr(os, "open", lambda *_, **__: pytest.fail("read again"))
    assert found(tokens) == {A}


def test_what_was_written_just_now_is_read_again_though_its_stamp_be_the_same(tmp_path, monkeypatch):
    file = write(tmp_path / "tokens", A)
    status = file.stat()
    tokens = TokenFolder(file)
    assert found(tokens, now=status.st_mtime + 1) == {A}
    monkeypatch.setattr("consolekit.auth.tokenfolder._stamp", lambda _: (1, 1, 1, status.st_mtime_ns, 1))
    assert found(tokens, now=status.st_mtime + 1) == {A}
    write(file, B)
    assert found(tokens, now=status.st_mtime + 1) == {B}


def test_regular_files_of_a_directory_count_and_others_do_not(folder, caplog):
    write(folder / "site", A)
    for name in (".hidden", "#x", "x~", "x.bak", "x.SWP", "x.dpkg-old"):
        write(folder / name, B)
    (folder / "deeper").mkdir()
    write(folder / "deeper" / "tokens", B)
    assert found(TokenFolder(folder)) == {A}
    assert warned(caplog) == []
    os.mkfifo(folder / "pipe")
    tokens = TokenFolder(folder)
    assert found(tokens) == {A}
    assert found(tokens) == {A}
    assert len(warned(caplog)) == 1
    assert "pipe: its tokens open nothing: it is no regular file" in warned(caplog)[0]


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "..", "nowhere", "loop"])
def test_a_link_that_leads_outside_or_nowhere_opens_nothing(folder, target, caplog):
    write(folder / "site", A)
    write(folder.parent / "outside", B)
    (folder / "loop").symlink_to(target)
    assert found(TokenFolder(folder)) == {A}
    assert "loop: its tokens open nothing" in warned(caplog)[0]


def test_a_directory_beside_with_the_same_beginning_is_outside(folder):
    (folder.parent / "d-other").mkdir()
    write(folder.parent / "d-other" / "tokens", B)
    (folder / "link").symlink_to("../d-other/tokens")
    assert found(TokenFolder(folder)) == set()


def test_links_that_stay_inside_count_as_in_a_configmap(folder):
    for name, token in (("..one", A), ("..two", B)):
        (folder / name).mkdir()
        write(folder / name / "tokens", token)
    (folder / "..data").symlink_to("..one")
    (folder / "tokens").symlink_to("..data/tokens")
    tokens = TokenFolder(folder)
    assert found(tokens) == {A}
    (folder / "..next").symlink_to("..two")
    (folder / "..next").rename(folder / "..data")
    assert found(tokens) == {B}


def test_a_file_that_cannot_be_read_takes_only_its_own_tokens_with_it(folder, monkeypatch, caplog):
    """Root may read everything, so the refusal is made."""
    write(folder / "site", A)
    bad = write(folder / "bad", B)
    opened = os.open

    def refuse(path, *rest, **named):
        if Path(path) == bad:
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **named)

    tokens = TokenFolder(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert found(tokens) == {A}
        assert found(tokens) == {A}
    assert warned(caplog) == [f"token file {bad}: its tokens open nothing: Permission denied"]
    assert found(tokens) == {A, B}, "it is tried again though nothing of it has changed"


def test_a_directory_that_goes_away_takes_its_tokens_with_it(folder):
    write(folder / "site", A)
    tokens = TokenFolder(folder)
    assert found(tokens) == {A}
    shutil.rmtree(folder)
    assert found(tokens) == set()


def test_a_huge_file_is_not_read(tmp_path, caplog):
    file = tmp_path / "tokens"
    with file.open("wb") as open_file:
        open_file.truncate(16 * 1024 * 1024 + 1)
    assert TokenFolder(file).tokens(FAR) == {}
    assert "over 16 MiB" in warned(caplog)[0]


def test_faults_are_told_once_with_their_place_and_never_with_the_token(folder, caplog):
    caplog.set_level(logging.DEBUG)
    write(folder / "one", A, B)
    (folder / "two").write_text(f"{A}: h:1\nsecret-in-it h:2\nshort: h:3\nlast-without-end: h:4")
    tokens = TokenFolder(folder)
    assert found(tokens) == {B}
    messages = warned(caplog)
    assert len(messages) == 5
    for place in ("one:1:", "two:1:", "two:2:", "two:3:", "two:4:"):
        assert any(place in message for message in messages), place
    assert not any(word in "".join(messages) for word in (A, "secret-in-it", "last-without"))
    caplog.clear()
    write(folder / "three", "unrelated-0123456789")
    assert found(tokens) == {B}
    assert warned(caplog) == []


def test_a_file_full_of_faults_does_not_fill_the_log(tmp_path, caplog):
    file = tmp_path / "tokens"
    file.write_text("nothing\n" * 1000)
    TokenFolder(file).tokens(time.time())  # noqa: TID251 - as it was written just now
    assert len(warned(caplog)) == 21
    assert "980 more" in warned(caplog)[-1]


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(folder, caplog):
    write(folder / "site", A)
    os.mkfifo(folder / "pipe")
    assert found(TokenFolder(folder)) == {A}
    assert warned(caplog) == [f"token file {folder / 'pipe'}: its tokens open nothing: it is no regular file"]


def test_two_files_that_cannot_be_read_are_tried_again(folder, monkeypatch, caplog):
    """Even where the one is read: what is unread is counted, not noted."""
    write(folder / "a", A), write(folder / "b", B)
    opened = os.open

    def refuse(path, *rest, **named):
        if Path(path).name in "ab":
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **named)

    tokens = TokenFolder(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert found(tokens) == set()
    assert found(tokens) == {A, B}


def test_faults_of_every_file_are_told(folder, caplog):
    for name in ("one", "two"):
        (folder / name).write_text("nothing\n")
    assert TokenFolder(folder).tokens(FAR) == {}
    assert [sum(f"{name}:1:" in line for line in warned(caplog)) for name in ("one", "two")] == [1, 1]
