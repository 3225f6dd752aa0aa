"""Proxy: the viewer page, its assets and noVNC, as static files. Knows no token and no session."""

from __future__ import annotations

from tornado.web import HTTPError, StaticFileHandler

from consolekit.http.handler import SAFE_HEADERS, Handler
from consolekit.web import CONTENT_SECURITY_POLICY


class _Static(Handler, StaticFileHandler):
    """Files that may be kept, but not used without asking; the rest of the headers is as everywhere."""

    def set_default_headers(self) -> None:
        """As everywhere, with the page's own policy."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Cache-Control", "no-cache")

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
    """``/console/assets/*`` and ``/console/novnc/*``."""


class Page(_Static):
    """``/console/``: the page itself; never stored, for its address once held a token."""

    def initialize(
        self,
        path: str,
        default_filename: str | None = None,
        allowed_symlink_directory: str | list[str] | None = None,
    ) -> None:
        """Take the directory and the page's name in it."""
        super().initialize(path, allowed_symlink_directory=allowed_symlink_directory)
        self._name = str(default_filename)

    async def get(self, path: str = "", include_body: bool = True) -> None:
        """Serve the page whatever the path says."""
        await super().get(self._name, include_body)

    async def head(self, path: str = "") -> None:
        """As ``get``, without the body."""
        await super().get(self._name, False)

    def set_extra_headers(self, path: str) -> None:
        """Not stored."""
        self.set_header("Cache-Control", SAFE_HEADERS["Cache-Control"])
