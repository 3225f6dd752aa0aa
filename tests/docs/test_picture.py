"""The picture of the layers shows every package, in the contract's rows, with what it says and imports."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picture", ROOT / "docs" / "picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_is_in_it_once(picture: ModuleType) -> None:
    packages = {path.parent.name for path in (ROOT / "consolekit").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "consolekit").glob("[!_]*.py")}
    drawn = [name for row in picture.layers() for name in row]
    assert sorted(drawn) == sorted(packages | modules)
    names = [text.text for text in ET.fromstring(picture.svg()).iter() if text.get("class") == "name"]
    assert names == drawn


def test_core_is_the_ground(picture: ModuleType) -> None:
    assert picture.layers()[-1] == ["core"]
    core = picture.box("core")
    assert {"jsonschema", "pluggy", "stevedore"} <= set(core.libraries)
    assert "tornado" not in core.libraries
    assert core.says.startswith("the words")
