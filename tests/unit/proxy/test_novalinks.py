"""proxy.novalinks: what a link of Nova's comes to."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from consolekit.proxy.novalinks import fragment_of, spice_query

TOKEN = "b48316c5-71e8-45e4-9884-6c78055b9b13"


@pytest.mark.parametrize(
    ("query", "fragment"),
    [
        (f"path=%3Ftoken%3D{TOKEN}", f"token={TOKEN}"),
        (f"path=websockify%3Ftoken%3D{TOKEN}&title=web-1", f"token={TOKEN}&server=web-1"),
        (f"token={TOKEN}", f"token={TOKEN}"),
        (f"token={TOKEN}&path=%3Ftoken%3D{TOKEN}", ""),
        (f"token={TOKEN}&token={TOKEN}", ""),
        ("token=%22%3E%3Cscript%3E", ""),
        ("token=", ""),
        ("path=%3Ftoken%3Da%0d%0aX:%20y", ""),
        ("", ""),
        ("&".join(f"a{n}=1" for n in range(40)), ""),
    ],
)
def test_fragment_of(query: str, fragment: str) -> None:
    assert fragment_of(query) == fragment


@pytest.mark.parametrize("folder", ["/", "/gw/"])
def test_spice_s_page_is_told_its_websocket_with_a_key_of_its_own(folder: str) -> None:
    first, second = (parse_qs(spice_query(f"token={TOKEN}&title=web-1", folder)) for _ in range(2))
    path, _, query = first["path"][0].partition("?")
    socket = parse_qs(query)
    assert (path, socket["token"], first["title"]) == (folder, [TOKEN], ["web-1"])
    assert len(socket["resume"][0]) == 43
    assert first["path"] != second["path"]


@pytest.mark.parametrize("query", ["", "path=%2F%3Ftoken%3Da", f"token={TOKEN}&token={TOKEN}", "token=%3C"])
def test_other_queries_of_spice_s_page_stay(query: str) -> None:
    assert spice_query(query, "/") == ""
