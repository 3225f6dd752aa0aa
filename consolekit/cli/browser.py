"""CLI: a window of the user's browser. Knows no console."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping


def has_display(env: Mapping[str, str]) -> bool:
    """Whether a browser would have a window; without one, ``webbrowser`` would take over the terminal."""
    return sys.platform == "darwin" or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def open_window(url: str) -> bool:
    """Open a browser's window; not one of the text browsers, which would take over the terminal.

    Returns:
        False where there is none that could be opened.
    """
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    in_background = isinstance(browser, webbrowser.BackgroundBrowser) or getattr(browser, "background", False)
    if in_background or sys.platform == "darwin" or os.environ.get("BROWSER"):
        return browser.open(url)
    return False
