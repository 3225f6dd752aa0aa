"""Proxy: the viewer page, its assets and noVNC, as static files. Knows no token and no session."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from tornado.web import HTTPError, StaticFileHandler

from consolekit.http.handler import Handler
from consolekit.web import CONTENT_SECURITY_POLICY
from consolekit.web.kept import NOT_UNASKED, KeptFiles

_HANDLER = re.compile(rb"<[a-z][^<>]*?\son[a-z]+\s*=\s*\"([^\"<>]*)\"", re.IGNORECASE)
_INLINE = re.compile(rb"<script\b(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


class _Static(Handler, StaticFileHandler):
    """Files that may be kept, but not used without asking; the rest of the headers is as everywhere."""

    def set_default_headers(self) -> None:
        """As everywhere, with the page's own policy."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Cache-Control", NOT_UNASKED)

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """No file's name holds a NUL; the system's calls would say so with an exception."""
        if "\0" in absolute_path:
            raise HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)

    def set_extra_headers(self, path: str) -> None:
        """Module scripts need their type even where the system has no table of types."""
        if path.endswith(".js"):
            self.set_header("Content-Type", "text/javascript; charset=utf-8")


class Assets(_Static):
    """``/console/assets/*`` and ``/console/novnc/*``, and the same with a mark in front, to be kept."""

    def initialize(
        self,
        path: str,
        default_filename: str | None = None,
        allowed_symlink_directory: str | list[str] | None = None,
        kept: KeptFiles | None = None,
    ) -> None:
        """Take the directory, and who knows our mark."""
        super().initialize(path, allowed_symlink_directory=allowed_symlink_directory)
        self._kept = kept

    async def get(self, path: str, include_body: bool = True, mark: str | None = None) -> None:
        """Serve a file."""
        self._mark = mark
        await super().get(path, include_body)

    async def head(self, path: str, mark: str | None = None) -> None:
        """As ``get``, without the body."""
        await self.get(path, False, mark)

    def set_extra_headers(self, path: str) -> None:
        """As everywhere; at our own mark it is kept for ever."""
        super().set_extra_headers(path)
        if self._kept is not None:
            self.set_header("Cache-Control", self._kept.cache_control(self._mark))


class ViewerPages(_Static):
    """The pages of an operator's own viewer, where they are used to be, and all that they load."""

    def initialize(
        self,
        path: str,
        default_filename: str | None = None,
        allowed_symlink_directory: str | list[str] | None = None,
        policy: str = CONTENT_SECURITY_POLICY,
    ) -> None:
        """Take the directory and its pages' policy."""
        super().initialize(path, allowed_symlink_directory=allowed_symlink_directory)
        self._policy = policy

    def set_extra_headers(self, path: str) -> None:
        """As everywhere; pages with the policy that their own inline scripts need."""
        super().set_extra_headers(path)
        if path.endswith(".html"):
            self.set_header("Content-Security-Policy", self._policy)


def viewer_policy(folder: Path) -> str:
    """Our policy, with the inline scripts and handlers of a viewer's pages by digest, and inline styles.

    What the pages hold now is what they may run: another page there needs a restart.
    """
    pages = [page.read_bytes() for page in folder.glob("*.html")]
    inline = {_digest(script) for page in pages for script in _INLINE.findall(page)}
    handlers = {_digest(script) for page in pages for script in _HANDLER.findall(page)}
    words = [
        *sorted(inline | handlers),
        *(["'unsafe-hashes'"] if handlers else []),
    ]  # CSP3, 8.3: for handlers
    scripts = " ".join(["script-src 'self'", *words])
    policy = CONTENT_SECURITY_POLICY.replace("script-src 'self'", scripts)
    styled = policy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    return f"{styled}; media-src 'self' blob:"  # noVNC's bell, SPICE's sound


def _digest(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


class Page(Handler):
    """``/console/``: the page itself; never stored, for its address once held a token."""

    def initialize(self, kept: KeptFiles) -> None:
        """Take the page."""
        self._kept = kept

    def set_default_headers(self) -> None:
        """As everywhere, with the page's own policy."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Content-Type", "text/html; charset=utf-8")

    async def get(self) -> None:
        """Serve it, whatever the query says."""
        self.finish(self._kept.page)

    async def head(self) -> None:
        """As ``get``; tornado leaves the body out."""
        await self.get()
