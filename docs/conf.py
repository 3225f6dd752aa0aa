"""Documentation: how Sphinx builds it. Warnings are errors: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate  # found by the line above, and only there

from consolekit import __version__

generate.write_all()

project = "consolekit"
author = "The consolekit authors"
copyright = "The consolekit authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
# What no inventory of ours knows; everything that consolekit defines must resolve.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|asyncio|pathlib|typing|types|enum|click|attrs?|abc|pluggy|ssl)\..*"),
    (r"py:.*", r"(Path|Any|Self|Mapping|Sequence|Generator|Final|ClassVar|Awaitable|Callable|T)"),
]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"consolekit {release}"
html_static_path = ["_static"]
html_copy_source = False
html_show_sphinx = False
