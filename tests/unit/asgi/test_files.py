"""asgi.files: what is in the folder, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgiserver import Connection

from consolekit.asgi.files import find, send_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "files"
    (inside / "core").mkdir(parents=True)
    (inside / "core" / "rfb.js").write_text("export default 1;")
    (inside / "unknown.kind").write_bytes(b"\0")
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "out").symlink_to(tmp_path / "secret.txt")
    return inside


@pytest.mark.parametrize("name", ["core/rfb.js", "/core/rfb.js", "core/./rfb.js", "core/../core/rfb.js"])
def test_files_of_the_folder(folder: Path, name: str) -> None:
    assert find(folder, name) == (folder / "core" / "rfb.js").resolve()


@pytest.mark.parametrize(
    "name", ["", "/", ".", "core", "nothing", "../secret.txt", "out", "/../secret.txt", "core/\0", "a" * 5000]
)
def test_nothing_else(folder: Path, name: str) -> None:
    assert find(folder, name) is None


async def test_an_unknown_kind_is_bytes(folder: Path) -> None:
    connection = Connection({})
    await send_file(connection.send, folder / "unknown.kind", known="", cache="no-cache", head=False)
    assert (b"content-type", b"application/octet-stream") in connection.sent.get_nowait()["headers"]
