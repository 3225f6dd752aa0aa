"""http.headers: what no answer goes without."""

from __future__ import annotations

from consolekit.http.headers import MAX_HEADER_LINE, MAX_URI, SAFE_HEADERS


def test_nothing_is_stored_framed_or_sniffed() -> None:
    assert SAFE_HEADERS["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in SAFE_HEADERS["Content-Security-Policy"]
    assert (SAFE_HEADERS["X-Frame-Options"], SAFE_HEADERS["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert SAFE_HEADERS["Referrer-Policy"] == "no-referrer"


def test_an_address_may_be_as_long_as_http_asks_for() -> None:
    assert MAX_URI >= 8000  # RFC 9110, 4.1
    assert MAX_HEADER_LINE >= 4096  # a sealed token in its header
