"""consolekit.web: what is found, what is said when it is missing, and what the page may not hold."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from consolekit import web
from consolekit.proxy.closecodes import ENDS

PAGE = web.page_file().read_text(encoding="utf-8")


def novnc(folder: Path, version: str | None = "1.7.0") -> Path:
    (folder / "core").mkdir(parents=True)
    (folder / "core" / "rfb.js").write_text("export default class {}")
    (folder / "LICENSE.txt").write_text("MPL")
    (folder / "vendor" / "pako").mkdir(parents=True)
    (folder / "vendor" / "pako" / "LICENSE").write_text("MIT")
    if version is not None:
        (folder / "package.json").write_text(json.dumps({"version": version}))
    return folder


def test_the_operators_copy_is_found(tmp_path: Path) -> None:
    folder = novnc(tmp_path / "novnc")
    assert web.novnc_dir(folder) == folder
    status = web.status(folder)
    assert (status.present, status.version, status.source) == (True, "1.7.0", "operator's")
    assert status.path == folder
    assert status.cure == ""
    assert [path.name for path in status.licences] == ["LICENSE.txt", "LICENSE"]


def test_a_missing_copy_is_not_replaced_by_the_bundled_one(tmp_path: Path) -> None:
    assert web.novnc_dir(tmp_path) is None
    status = web.status(tmp_path)
    assert not status.present
    assert str(tmp_path) in status.cure
    assert "--web-root" in status.cure
    assert status.licences == ()


def test_commonjs_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "rfb.js").touch()
    assert web.novnc_dir(tmp_path) is None
    assert "CommonJS" in web.status(tmp_path).cure


def test_the_bundled_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_HERE", tmp_path)
    missing = web.status()
    assert (missing.present, missing.source, missing.version) == (False, "bundled", None)
    assert "npm" in missing.cure
    novnc(tmp_path / "novnc")
    assert web.novnc_dir() == tmp_path / "novnc"
    assert (web.status().present, web.status().source) == (True, "bundled")


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"version'])
def test_a_copy_that_does_not_tell_its_version(tmp_path: Path, text: str) -> None:
    folder = novnc(tmp_path / "novnc", version=None)
    (folder / "package.json").write_text(text)
    status = web.status(folder)
    assert status.present
    assert status.version is None


def test_the_version_of_a_release_archive(tmp_path: Path) -> None:
    folder = novnc(tmp_path / "novnc", version=None)
    (folder / "VERSION").write_text("1.6.0\n")
    assert web.status(folder).version == "1.6.0"


def test_the_policy_allows_no_inline_and_no_eval() -> None:
    policy = dict(part.strip().split(" ", 1) for part in web.CONTENT_SECURITY_POLICY.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in web.CONTENT_SECURITY_POLICY
    assert "*" not in web.CONTENT_SECURITY_POLICY


def test_the_page_holds_nothing_inline_and_only_relative_addresses() -> None:
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", PAGE)
    assert re.findall(r"<script([^>]*)>", PAGE) == [' type="module" src="assets/main.js"']
    for address in re.findall(r'(?:src|href)="([^"]*)"', PAGE):
        assert re.match(r"(assets|novnc)/", address), address


def test_every_file_that_the_page_names_exists() -> None:
    for address in re.findall(r'(?:src|href)="assets/([^"]*)"', PAGE):
        assert (web.assets_dir() / address).is_file(), address
    for script in web.assets_dir().glob("*.js"):
        for name in re.findall(r"from '\./([^']+)'", script.read_text(encoding="utf-8")):
            assert (script.parent / name).is_file(), name
    styles = (web.assets_dir() / "console.css").read_text(encoding="utf-8")
    for name in re.findall(r"url\(([^)]+)\)", styles):
        assert (web.assets_dir() / name).is_file(), name


def test_another_viewer_s_pages_are_told_from_nothing(tmp_path: Path) -> None:
    assert not web.has_pages(tmp_path)
    assert not web.has_pages(tmp_path / "nowhere")
    (tmp_path / "spice_auto.html").touch()
    assert web.has_pages(tmp_path)
    assert "pages of another viewer" in web.status(tmp_path).cure


def test_scripts_never_make_html_from_text() -> None:
    risky = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\.cookie"
    for script in web.assets_dir().glob("*.js"):
        assert not re.search(risky, script.read_text(encoding="utf-8")), script.name


def test_every_element_that_scripts_ask_for_is_in_the_page() -> None:
    there = set(re.findall(r'\sid="([^"]+)"', PAGE))
    for script in web.assets_dir().glob("*.js"):
        text = script.read_text(encoding="utf-8")
        wanted = re.findall(r"(?:getElementById|\belement|\bon|\bfill)\('([a-z-]+)'", text)
        assert set(wanted) <= there, script.name


def test_the_page_has_words_for_every_way_to_end() -> None:
    script = (web.assets_dir() / "endings.js").read_text(encoding="utf-8")
    table = script[script.index("CLOSE_CODES = {") : script.index("UNKNOWN_CLOSE")]
    words = dict(re.findall(r"(?ms)^  (\d{4}): \{(.*?)\},$", table))
    for slug, end in ENDS.items():
        entry = words[str(end.code)]
        comes_back = "again: true" in entry or "retry: true" in entry
        assert comes_back is end.resumable, slug


def test_the_module_imports_no_http() -> None:
    tree = ast.parse(Path(sys.modules[web.__name__].__file__ or "").read_text(encoding="utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert names <= {"json", "attrs"}
