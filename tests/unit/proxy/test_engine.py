"""proxy.engine: settings that fit a kit's links, and what needs no HTTP server."""

from __future__ import annotations

import subprocess
import sys

import pytest
from consolesite import make_site

from consolekit.proxy.engine import Engine, ProxySettings


@pytest.mark.parametrize(
    ("base_url", "origin", "host", "prefix"),
    [
        (
            "https://Portal.example.org/consoles/",
            "https://portal.example.org",
            "portal.example.org",
            "/consoles",
        ),
        ("http://127.0.0.1:6080", "http://127.0.0.1:6080", "127.0.0.1:6080", ""),
        ("https://[::1]:8443/a/B", "https://[::1]:8443", "[::1]:8443", "/a/B"),
    ],
)
async def test_settings_fit_the_kit_s_links(base_url: str, origin: str, host: str, prefix: str) -> None:
    settings = ProxySettings.of(make_site(base_url=base_url).kit)
    assert (settings.origins, settings.hosts, settings.prefix) == ({origin}, {host}, prefix)


async def test_links_of_single_types_have_origins_too() -> None:
    kit = make_site(base_urls={"webmks": "https://mks.example.org"}).kit
    settings = ProxySettings.of(kit, prefix="/other")
    assert settings.hosts == {"consoles.example.org", "mks.example.org"}
    assert settings.prefix == "/other"


async def test_it_starts_and_ends_without_a_server() -> None:
    site = make_site()
    engine = Engine(site.kit, ProxySettings.of(site.kit))
    await engine.start()
    assert engine.sessions.watching
    assert engine.around.kit is site.kit
    await engine.aclose()
    await site.kit.aclose()


def test_it_knows_no_web_server() -> None:
    script = (
        "import sys, consolekit.proxy.engine; print(*(m for m in sys.modules if m.startswith('tornado')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"tornado", "tornado.speedups"}  # its routine for masks
