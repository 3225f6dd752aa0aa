"""Test support: the simplest validator that keeps the contract, and the contract over it.

Importable as ``tokentable``. The wrong ones of ``tests/contract`` differ from it in one thing each.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

import attrs

from consolekit.auth.base import TokenValidator
from consolekit.auth.life import GrantLife
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Secret
from consolekit.testing import TokenValidatorContract

EVERYTHING = ("request", "provider", "issued_at", "expires_at", "session_seconds")


@attrs.define(eq=False, repr=False)
class Table(TokenValidator):
    """Tokens in a dictionary, good until they expire; right in every way, if simple."""

    clock: object
    grants: dict = attrs.field(factory=dict)

    async def inspect(self, token, context):
        if (grant := self.grants.get(token.reveal())) is None:
            raise TokenRefused("unknown")
        return GrantLife(grant=grant)

    async def validate(self, token, context):
        grant = (await self.inspect(token, context)).grant
        if self.clock.now() >= grant.expires_at:
            raise TokenRefused("expired")
        return grant


class TableContract(TokenValidatorContract):
    keeps: ClassVar = EVERYTHING
    made: ClassVar = Table

    async def make_validator(self, clock):
        self.table = self.made(clock)
        return self.table

    async def make_token(self, wish):
        token = str(uuid.uuid4())
        self.table.grants[token] = wish
        return Secret(token)
