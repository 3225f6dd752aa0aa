"""Example: a validator of your own tokens in 40 lines.

"Acme's" portal signs what it wants shown: ``acme_SERVER.UNTIL.MAC``, with a key that both sides have.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from consolekit import AccessContext, Clock, ConsoleKey, ConsoleRequest, Grant, Secret, TokenValidator
from consolekit.auth.life import GrantLife
from consolekit.core.errors import TokenRefused


# [validator]
class SignedTokens(TokenValidator):
    """Redeems what Acme's portal has signed."""

    single_use = True  # noted in our token store: each opens one session
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"key_file": {"type": "string", "format": "path"}, "provider": {"type": "string"}},
        "required": ["key_file", "provider"],
        "additionalProperties": False,
    }
    _FORM = re.compile(r"acme_([a-z0-9-]{1,64})\.([0-9]{1,12})\.([0-9a-f]{64})")

    def __init__(self, *, key: bytes, provider: str, clock: Clock) -> None:
        self._key, self._provider, self._clock = key, provider, clock

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, clock: Clock) -> Self:
        """Build from the operator's table; relative paths in it are absolute by now."""
        return cls(key=Path(config["key_file"]).read_bytes(), provider=config["provider"], clock=clock)

    def recognises(self, token: Secret) -> bool:
        """Whether it is written as ours are: then nobody else is asked."""
        return self._FORM.fullmatch(token.reveal()) is not None

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """Say what it stands for, expired or not."""
        if not (found := self._FORM.fullmatch(token.reveal())):
            raise TokenRefused("malformed")
        server, until, mac = found.groups()
        right = hmac.new(self._key, f"{server}.{until}".encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(mac, right):
            raise TokenRefused("the signature is wrong")
        request = ConsoleRequest(key=ConsoleKey("vnc", "novnc"), server_id=server, subject="acme")
        times = {"issued_at": self._clock.now(), "expires_at": float(until), "session_seconds": 3600.0}
        name = f"acme-{hashlib.sha256(mac.encode()).hexdigest()[:16]}"  # is shown, and opens nothing
        return GrantLife(grant=Grant(id=name, request=request, provider=self._provider, **times))

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """Say what it stands for, if it is still alive."""
        grant = (await self.inspect(token, context)).grant
        if self._clock.now() >= grant.expires_at:  # dead at that instant, not after it
            raise TokenRefused("expired")
        return grant


# [end]
