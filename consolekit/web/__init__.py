"""Web: finds the viewer page, its assets and noVNC. Knows no HTTP, no tornado, no configuration.

The page is ours and always there; noVNC comes in when the package is built (``hatch_build.py``), or
from a directory of the operator's (``--web-root``). Importing this module reads nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal

import attrs

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "WebStatus",
    "assets_dir",
    "has_pages",
    "novnc_dir",
    "page_file",
    "status",
]

#: For the page and everything under it. ``'self'`` covers ws: and wss: to the same host and port
#: (CSP3 section 6.7.2.8, scheme-part match); noVNC sets styles through the CSSOM, which CSP allows,
#: and paints JPEG and PNG rectangles from ``data:``.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_HERE = Path(__file__).parent
_MODULE = Path("core") / "rfb.js"
_NOTICES = ("LICENSE*", "copyright", "docs/LICENSE*", "vendor/*/LICENSE*")
_GET_A_COPY = (
    "or point --web-root at a directory that holds noVNC's core/rfb.js "
    "(Debian 13: apt-get install novnc, then --web-root /usr/share/novnc)"
)


@attrs.frozen(kw_only=True)
class WebStatus:
    """What there is of noVNC.

    Attributes:
        present: The viewer page will work.
        version: noVNC's version; None where there is none or the copy does not say.
        source: ``bundled`` with this package, or the ``operator's`` own copy.
        path: Where it is, or where it was looked for.
        licences: The licence texts found with it.
        cure: What to do when it is missing; empty when it is there.
    """

    present: bool
    version: str | None
    source: Literal["bundled", "operator's"]
    path: Path
    licences: tuple[Path, ...]
    cure: str


def page_file() -> Path:
    """The viewer page."""
    return _HERE / "console.html"


def assets_dir() -> Path:
    """Our scripts, styles and icons: what the page asks for under ``assets/``."""
    return _HERE / "assets"


def novnc_dir(web_root: Path | None = None) -> Path | None:
    """The directory of noVNC: what the page asks for under ``novnc/``.

    Args:
        web_root: An operator's own copy. When given, the bundled one is not a fallback: serving
            another version than the one asked for would hide the mistake.

    Returns:
        The directory that holds ``core/rfb.js``, None when there is none.
    """
    folder = _HERE / "novnc" if web_root is None else web_root
    return folder if (folder / _MODULE).is_file() else None


def has_pages(folder: Path) -> bool:
    """Whether pages are in it that can be served: noVNC's, or those of another viewer."""
    return next(folder.glob("*.html"), None) is not None if folder.is_dir() else False


def status(web_root: Path | None = None) -> WebStatus:
    """What there is of noVNC, and the cure when it is missing."""
    found = novnc_dir(web_root)
    folder = found or (_HERE / "novnc" if web_root is None else web_root)
    return WebStatus(
        present=found is not None,
        version=_version(folder) if found else None,
        source="bundled" if web_root is None else "operator's",
        path=folder,
        licences=_licences(folder) if found else (),
        cure="" if found else _cure(folder, web_root),
    )


def _version(folder: Path) -> str | None:
    """From npm's ``package.json``, or from the ``VERSION`` file of a release archive."""
    try:
        return str(json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return (folder / "VERSION").read_text(encoding="utf-8").strip()[:40] or None
    except (OSError, ValueError):
        return None


def _licences(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted({found for pattern in _NOTICES for found in folder.glob(pattern)}))


def _cure(folder: Path, web_root: Path | None) -> str:
    if web_root is None:
        return (
            "This installation was built without npm. Install npm (Debian: apt-get install npm) "
            "and install consolekit again (pip install --force-reinstall --no-cache-dir ...), "
            f"{_GET_A_COPY}."
        )
    if (folder / "lib" / "rfb.js").is_file():
        return (
            f"{folder} holds noVNC's lib/ (CommonJS, as npm packages 1.5 and 1.6 ship it), which "
            f"no browser loads as it is. Use version 1.7 or later, {_GET_A_COPY}."
        )
    if has_pages(folder):
        return (
            f"{folder} holds the pages of another viewer. They are served, and our own page shows nothing "
            "beside them. For VNC and WebMKS run another proxy, without --web-root."
        )
    return f"{folder} holds no core/rfb.js. Correct --web-root, {_GET_A_COPY}."
