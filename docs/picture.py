"""Documentation: the picture of the layers, drawn from import-linter's contract and from the code it holds.

What stands in it cannot be out of date: the rows are the contract's, the words are the packages' own first
lines, the libraries are those that their modules import. Knows the source tree; imports nothing of it.
"""

from __future__ import annotations

import ast
import sys
import textwrap
import tomllib
from collections.abc import Iterable
from html import escape
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "consolekit"
CONTRACT = "Layers: "

WIDTH, MARGIN, GAP, LINE = 1000, 10, 26, 16
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .name { font-weight: 600; font-size: 15px; }
  .libraries { fill: #57606a; font-style: italic; }
  .box { fill: #f6f8fa; stroke: #8c959f; }
  .arrow { stroke: #8c959f; stroke-width: 1.5; marker-end: url(#head); }
"""


@attrs.frozen
class Box:
    """One package: its name, what it says of itself, the libraries of others that it imports."""

    name: str
    says: str
    libraries: tuple[str, ...]

    def lines(self, columns: int) -> tuple[list[str], list[str]]:
        """Both texts, wrapped."""
        return textwrap.wrap(self.says, columns), textwrap.wrap(", ".join(self.libraries), columns)

    def height(self, columns: int) -> int:
        return 34 + LINE * sum(map(len, self.lines(columns)))


def layers() -> list[list[str]]:
    """The contract's rows, from the top: in each, packages that do not know each other."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (one for one in linter["contracts"] if one["name"].startswith(CONTRACT))
    rows = [[name.strip() for name in row.split("|")] for row in contract["layers"]]
    return [found for row in rows if (found := [name for name in row if not name.startswith("_")])]


def box(name: str) -> Box:
    """What the package or module of that name is."""
    place = PACKAGE / name
    files = sorted(place.rglob("*.py")) if place.is_dir() else [PACKAGE / f"{name}.py"]
    first = place / "__init__.py" if place.is_dir() else files[0]
    said = (ast.get_docstring(ast.parse(first.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    said = said.replace("``", "")
    return Box(name, said.partition(": ")[2] or said, tuple(sorted(set(_libraries(files)))))


def _libraries(files: Iterable[Path]) -> Iterable[str]:
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                if top != "consolekit" and top not in sys.stdlib_module_names:
                    yield top


def svg() -> str:
    """The picture."""
    parts, top = [], MARGIN
    rows = [[box(name) for name in row] for row in layers()]
    for number, row in enumerate(rows):
        if number:
            middle = WIDTH // 2
            parts.append(f'<line class="arrow" x1="{middle}" y1="{top - GAP}" x2="{middle}" y2="{top - 7}"/>')
        width = (WIDTH - 2 * MARGIN - (len(row) - 1) * MARGIN) // len(row)
        columns = (width - 20) // 7
        height = max(one.height(columns) for one in row)
        for place, one in enumerate(row):
            parts += _drawn(one, MARGIN + place * (width + MARGIN), top, width, height, columns)
        top += height + GAP
    size = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top - GAP + MARGIN}" role="img">',
            "<title>The layers of consolekit: each row imports only what is below it</title>",
            f"<style>{_STYLE}</style>",
            f'<defs><marker id="head" {size}><path d="M0 0 8 4 0 8z" fill="#8c959f"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _drawn(one: Box, left: int, top: int, width: int, height: int, columns: int) -> list[str]:
    says, libraries = one.lines(columns)
    drawn = [
        f'<rect class="box" x="{left}" y="{top}" width="{width}" height="{height}" rx="4"/>',
        f'<text class="name" x="{left + 10}" y="{top + 21}">{escape(one.name)}</text>',
    ]
    down = top + 21
    for style, lines in (("says", says), ("libraries", libraries)):
        for line in lines:
            down += LINE
            drawn.append(f'<text class="{style}" x="{left + 10}" y="{down}">{escape(line)}</text>')
    return drawn


def write(target: Path) -> None:
    """Write it, if it is not there already as it is."""
    file, drawn = target / "layers.svg", svg()
    if not file.is_file() or file.read_text(encoding="utf-8") != drawn:
        file.write_text(drawn, encoding="utf-8")
