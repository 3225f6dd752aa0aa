"""The rules of the tree that no linter knows: a test module each, size, docstrings, cheap imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import consolekit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "consolekit"
MOST_LINES = 400

#: Modules without a test module of their own, each with its reason.
EXCUSED = {
    "__about__.py": "one constant; the build reads it",
}

#: How the docstring of a module of each layer begins.
LAYERS = {
    "api": "API",
    "asgi": "ASGI",
    "auth": "Auth",
    "cli": "CLI",
    "client": "Client",
    "config": "Config",
    "core": "Core",
    "http": "HTTP",
    "kit": "Kit",
    "net": "Net",
    "providers": "Providers",
    "proxy": "Proxy",
    "testing": "Testing",
    "web": "Web",
}

#: What an embedder does not pay for by importing us.
HEAVY = ("tornado", "httpx2", "pyVmomi", "prometheus_client", "redis", "sqlalchemy",
         "consolekit.proxy", "consolekit.api", "consolekit.providers.")  # fmt: skip


def modules() -> list[Path]:
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def has_code(path: Path) -> bool:
    """False for an ``__init__.py`` that holds a docstring and re-exported names only."""
    body = ast.parse((PACKAGE / path).read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign) for node in body)


def needs_tests(path: Path) -> bool:
    return str(path) not in EXCUSED and (path.name != "__init__.py" or has_code(path))


def places_of(path: Path) -> list[Path]:
    """Where the tests of a module may be; those of a package's ``__init__`` go by the package's name.

    A contract kit is tested by being run over what keeps the contract: in ``tests/contract``.
    """
    folder, stem = (path.parent, path.stem) if path.stem != "__init__" else (path.parent, path.parent.name)
    tests, name = ROOT / "tests", f"test_{stem}.py"
    places = [
        tests / "unit" / folder / name,
        tests / "integration" / folder / name,
        tests / "integration" / name,
    ]
    return [*places, tests / "contract" / name] if path.parts[0] == "testing" else places


@pytest.mark.parametrize("path", [m for m in modules() if needs_tests(m)], ids=str)
def test_every_module_has_its_test_module(path: Path) -> None:
    places = places_of(path)
    wanted = " or ".join(str(place.relative_to(ROOT)) for place in places)
    assert any(place.is_file() for place in places), f"consolekit/{path} has no test module: {wanted}"


@pytest.mark.parametrize("path", modules(), ids=str)
def test_no_module_is_long(path: Path) -> None:
    lines = len((PACKAGE / path).read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"consolekit/{path} has {lines} lines: split it"


@pytest.mark.parametrize("path", [m for m in modules() if len(m.parts) > 1], ids=str)
def test_every_module_says_its_layer(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))) or ""
    layer = LAYERS[path.parts[0]]
    assert docstring.startswith((f"{layer}:", f"{layer},")), (
        f"consolekit/{path} must begin with a docstring that begins with '{layer}:' or '{layer}, ...:'"
    )


def test_excuses_are_needed() -> None:
    assert set(EXCUSED) <= {str(path) for path in modules()}


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "manager"])
def test_no_module_is_called_after_nothing(name: str) -> None:
    assert not [path for path in modules() if name in (path.stem, *path.parts)]


@pytest.mark.parametrize("module", ["consolekit", "consolekit.testing"])
def test_importing_is_cheap(module: str) -> None:
    """Neither a web server, nor a hypervisor SDK, nor a plug-in comes with the public names."""
    script = f"import sys, {module}; print(*(m for m in sys.modules if m.startswith({HEAVY!r})))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_public_names_are_there() -> None:
    assert not [name for name in consolekit.__all__ if not hasattr(consolekit, name)]


def test_types_travel_with_the_package() -> None:
    assert (PACKAGE / "py.typed").is_file()
