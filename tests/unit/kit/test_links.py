from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from consolekit.core.types import ConsoleKey, Secret
from consolekit.kit import KitSettings
from consolekit.kit.links import make_link
from consolekit.testing import ManualClock, example_grant


@pytest.mark.parametrize("seconds", [0, -1, 601])
def test_links_live_for_at_most_ten_minutes(seconds: int) -> None:
    with pytest.raises(ValueError, match="token_seconds must be from 1 to 600"):
        KitSettings(token_seconds=seconds)


def test_defaults() -> None:
    settings = KitSettings()
    assert (settings.base_url, settings.token_seconds) == ("http://127.0.0.1:6080", 60)


def test_the_token_is_in_the_fragment_alone() -> None:
    grant, settings = example_grant(ManualClock()), KitSettings(base_url="https://consoles.example.org/gw/")
    link = make_link(grant, Secret("a token"), settings)
    url = urlsplit(link.url.reveal())
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://consoles.example.org/gw/console/"
    assert url.query == ""
    assert parse_qs(url.fragment)["token"] == ["a token"]
    assert "a token" not in repr(link)
    assert (link.grant_id, link.expires_at) == (grant.id, grant.expires_at)


@pytest.mark.parametrize(
    ("pair", "base_url", "url"),
    [
        ("serial/serial", "https://c.example.org/gw", "wss://c.example.org/gw/?token=t"),
        ("serial/serial", "http://127.0.0.1:6083", "ws://127.0.0.1:6083/?token=t"),
        ("spice/spice-html5", "https://c.example.org", "https://c.example.org/spice_auto.html?token=t"),
    ],
)
def test_what_our_page_cannot_show_has_links_as_nova_s(pair: str, base_url: str, url: str) -> None:
    grant = example_grant(ManualClock())
    grant = attrs.evolve(grant, request=attrs.evolve(grant.request, key=ConsoleKey.parse(pair)))
    assert make_link(grant, Secret("t"), KitSettings(base_url=base_url)).url.reveal() == url
