"""Auth: tokens in a file or a directory of files, as websockify's ``TokenFile`` has them. Knows no provider.

Whoever writes the file is the issuer: a line opens its console as long as it stands there. What a line may
say is in ``auth.tokenlines``, which files count in ``auth.tokenfolder``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final

from consolekit.auth.base import AccessContext
from consolekit.auth.lasting import LastingTokens, place_name, sendable
from consolekit.auth.life import GrantLife
from consolekit.auth.tokenfolder import TokenFolder
from consolekit.auth.tokenlines import Entry, digest_of
from consolekit.core.errors import ConfigError, Problem, StoreUnavailable, TokenRefused
from consolekit.core.schema import SUBJECT
from consolekit.core.types import Clock, ConsoleKey, ConsoleRequest, Grant, Secret, Target

_LOOK_SECONDS: Final = 0.25

CONFIG_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path", "provider"],
    "properties": {
        "path": {
            "type": "string",
            "format": "path",
            "minLength": 1,
            "description": "The file, or a directory of such files. Every line is `token: host:port`. "
            "Read again when it changes.",
        },
        "provider": {
            "type": "string",
            "minLength": 1,
            "description": "The `[providers.NAME]` that takes these consoles; it needs an `adopt` table, "
            "which says in which networks they may be.",
        },
        "console": {
            "type": "string",
            "pattern": "^[a-z0-9-]+/[a-z0-9-]+$",
            "default": "vnc/novnc",
            "description": "What they are, as `protocol/type`.",
        },
        "subject": {
            **SUBJECT,
            "description": "For whom they are, where limits and records name somebody. Default: `file:` and "
            "the console's place, so that each has limits of its own.",
        },
        "session_seconds": {
            "type": "number",
            "minimum": 1,
            "default": 43200.0,
            "description": "How long a session may last.",
        },
    },
}
"""JSON Schema (2020-12) of a ``[validators.NAME]`` table with ``use = "file"``."""


class FileTokens(LastingTokens):
    """Redeems the tokens of a file.

    A change counts within a quarter of a second. Tokens are found by their SHA-256, so that the time of an
    answer tells nothing of the others.

    Args:
        path: The file or directory.
        provider: The configured provider that takes the consoles.
        clock: Where time comes from.
        console: What they are.
        subject: For whom; empty: each for itself.
        session_seconds: How long a session may last.

    Raises:
        ConfigError: there is nothing at the path, or the console is not written protocol/type.
    """

    kind: ClassVar[str] = "file"
    config_schema: ClassVar[Mapping[str, Any]] = CONFIG_SCHEMA

    def __init__(
        self,
        *,
        path: str | Path,
        provider: str,
        clock: Clock,
        console: str = "vnc/novnc",
        subject: str = "",
        session_seconds: float = 12 * 3600.0,
    ) -> None:
        super().__init__()
        try:
            self._key = ConsoleKey.parse(console)
            Path(path).stat()
        except ValueError as exc:
            raise ConfigError([Problem("console", str(exc))]) from None
        except OSError as exc:
            raise ConfigError([Problem("path", f"{path}: {exc.strerror}; make it, be it empty")]) from None
        self._provider, self._subject, self._session_seconds = provider, subject, session_seconds
        self._clock = clock
        self._folder = TokenFolder(Path(path))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="consolekit-tokenfile")
        self._looking: asyncio.Future[Mapping[bytes, Entry]] | None = None
        self._looked = float("-inf")

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """Find the token's line.

        Raises:
            TokenRefused: there is none that opens something.
            StoreUnavailable: the files could not be looked at in time.
        """
        text = sendable(token)
        entry = (await self._tokens()).get(digest_of(text))
        if entry is None:
            raise TokenRefused("it is in no line of the token file that opens something")
        return GrantLife(grant=self._grant(entry, self.name_of(token, context)))

    def provider_names(self) -> Sequence[str]:
        """The provider that takes the consoles."""
        return [self._provider]

    async def aclose(self) -> None:
        """Give back the thread; a look that hangs ends when the file system lets it."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _tokens(self) -> Mapping[bytes, Entry]:
        """The tokens as they stand now, or stood a moment ago; one look for all who wait."""
        now = self._clock.monotonic()
        if self._looking is None or (self._looking.done() and now - self._looked >= _LOOK_SECONDS):
            self._looked = now
            loop = asyncio.get_running_loop()
            self._looking = loop.run_in_executor(self._pool, self._folder.tokens, self._clock.now())
        try:
            async with asyncio.timeout(self.seconds):
                return await asyncio.shield(self._looking)
        except TimeoutError:
            raise StoreUnavailable(f"the token file could not be read within {self.seconds:g} s") from None

    def _grant(self, entry: Entry, name: str) -> Grant:
        now, server_id = self._clock.now(), place_name(entry.host, entry.port)
        return Grant(
            id=name,
            request=ConsoleRequest(
                key=self._key, server_id=server_id, subject=self._subject or f"file:{server_id}"
            ),
            provider=self._provider,
            issued_at=now,
            expires_at=now + self._session_seconds,
            session_seconds=self._session_seconds,
            target=Target(host=entry.host, port=entry.port),
        )
