"""proxy.novalinks: what a link of Nova's comes to."""

from __future__ import annotations

import pytest

from consolekit.proxy.novalinks import fragment_of

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
