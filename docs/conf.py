"""Documentation: how Sphinx builds it. Warnings are errors: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generate  # found by the line above, and only there
import picture
from sphinx.util.nodes import make_refnode

from consolekit import __version__

generate.write_all()
picture.write(generate.TARGET)

project = "consolekit"
author = "The consolekit authors"
copyright = "The consolekit authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
# What no inventory of ours knows; everything that consolekit defines must resolve.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(collections|asyncio|contextlib|pathlib|typing|types|enum|attrs?|abc|socket|ssl|ipaddress|tornado"
        r"|sqlalchemy)\..*",
    ),
    (r"py:.*", r"prometheus_client\..*|PluginManager"),
    (r"py:.*", r"(Path|Any|Self|Mapping|Sequence|Generator|Final|ClassVar|Awaitable|Callable|T)"),
    (r"py:class", r"consolekit(\.\w+)+\.[ST]"),  # type variables
    (r"py:class", r"[A-Z][a-z ]+"),  # a property's "For people: ..." is taken for its type
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
html_copy_source = False
html_show_sphinx = False


def resolve_by_last_name(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Docstrings name our classes as their module does: find them by the last part, if it is one only."""
    domain = env.get_domain("py")
    target = node.get("reftarget", "").rpartition(".")[2]
    found = [name for name in domain.objects if name.rpartition(".")[2] == target]
    if node.get("refdomain") != "py" or len(found) != 1:
        return None
    entry = domain.objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, found[0])


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", resolve_by_last_name)
