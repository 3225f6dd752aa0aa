"""proxy.pages: the policy of an operator's own viewer."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from consolekit.proxy.pages import viewer_policy


def test_inline_scripts_are_allowed_by_their_digest_and_no_other(tmp_path: Path) -> None:
    script = b"\nimport RFB from './core/rfb.js';\n"
    page = b'<style>a{}</style><script src="x.js"></script><script type="module">' + script + b"</script>"
    (tmp_path / "vnc_lite.html").write_bytes(page)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    policy = viewer_policy(tmp_path)
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy
    assert "connect-src 'self'" in policy
    assert "unsafe-hashes" not in policy


def test_handlers_of_a_page_are_allowed_by_their_digest(tmp_path: Path) -> None:
    (tmp_path / "spice_auto.html").write_text('<button class="a" onclick="open_nav()">x</button>')
    digest = base64.b64encode(hashlib.sha256(b"open_nav()").digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}' 'unsafe-hashes';" in viewer_policy(tmp_path)
