"""HTTP: what every answer says besides its content, and how large a request may be. Pure; knows no server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MAX_URI: Final = 12 * 1024
"""Room for a wrong server id of 10 KiB to be told as such (RFC 9110, 4.1 asks for 8,000)."""

MAX_HEADER_LINE: Final = 8 * 1024
MAX_HEADERS: Final = 100

SAFE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Safe by default: not stored, not framed, not sniffed."""
