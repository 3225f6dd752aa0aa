"""consolekit.web.kept: addresses under which files may be kept for ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from consolekit import web
from consolekit.web.kept import FOR_EVER, MARK, NOT_UNASKED, KeptFiles


@pytest.fixture
def novnc(tmp_path: Path) -> Path:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "rfb.js").write_text("export default 1;")
    (tmp_path / "core" / "util.js").write_text("")
    return tmp_path


def test_the_mark_is_the_same_as_long_as_the_files_are(novnc: Path) -> None:
    mark = KeptFiles(novnc).mark
    assert re.fullmatch(MARK, mark)
    assert KeptFiles(novnc).mark == mark
    assert KeptFiles(None).mark != mark


def test_another_file_another_name_or_another_place_is_another_mark(novnc: Path) -> None:
    marks = [KeptFiles(novnc).mark]
    changed = novnc / "core" / "rfb.js"
    changed.write_text("export default 2;")  # of the same length
    marks.append(KeptFiles(novnc).mark)
    changed.rename(novnc / "core" / "rfb2.js")
    marks.append(KeptFiles(novnc).mark)
    (novnc / "core" / "rfb2.js").rename(novnc / "rfb2.js")
    marks.append(KeptFiles(novnc).mark)
    (novnc / "core" / "util.js").unlink()
    marks.append(KeptFiles(novnc).mark)
    assert len(set(marks)) == len(marks)


def test_the_page_names_its_files_by_the_mark_and_is_otherwise_as_it_was(novnc: Path) -> None:
    kept = KeptFiles(novnc)
    plain = web.page_file().read_text(encoding="utf-8")
    page = kept.page.decode()
    assert page.replace(f"{kept.mark}/", "") == plain
    named = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert named
    assert all(address.startswith(f"{kept.mark}/") for address in named)


def test_only_our_own_mark_is_kept(novnc: Path) -> None:
    kept = KeptFiles(novnc)
    assert kept.cache_control(kept.mark) == FOR_EVER
    assert kept.cache_control("0" * 16) == kept.cache_control(None) == NOT_UNASKED
