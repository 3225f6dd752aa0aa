"""Auth: several validators, asked as one. Knows their contract alone; knows no token's form and no store.

A token whose form a validator recognises is its to judge, or another's of the same kind: nobody else is
asked, so that no issuer gets to see another's tokens. Any other is offered to each in turn, in the configured
order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.intime import in_time
from consolekit.auth.life import GrantLife
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Grant, Secret

_T = TypeVar("_T")


class ValidatorChain:
    """The validators of one kit, each with its deadline; fails closed.

    Args:
        validators: In the order of asking.
    """

    def __init__(self, validators: Sequence[TokenValidator]) -> None:
        self._validators = tuple(validators)

    def __iter__(self) -> Iterator[TokenValidator]:
        return iter(self._validators)

    async def redeem(self, token: Secret, context: AccessContext) -> tuple[TokenValidator, Grant]:
        """Use a token; gives its grant and the validator that must hear of its end.

        Raises:
            TokenRefused: it opens nothing.
            StoreUnavailable: one that had to be asked gave no proper answer; nobody after it is asked.
        """
        return await self._first(token, lambda validator: validator.validate(token, context))

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """What a token stands for, expired or used or neither, without redeeming it.

        Raises:
            TokenRefused: it is nobody's.
            StoreUnavailable: one that had to be asked gave no proper answer.
        """
        return (await self._first(token, lambda validator: validator.inspect(token, context)))[1]

    async def outcome(self, token: Secret, context: AccessContext) -> str | None:
        """Why the last attempt of this same browser with this token failed or ended, as a code.

        Raises:
            TokenRefused: the token, or the browser's resume key, is not of any grant.
            StoreUnavailable: one that had to be asked gave no proper answer.
        """
        return (await self._first(token, lambda validator: validator.outcome(token, context)))[1]

    async def _first(
        self, token: Secret, ask: Callable[[TokenValidator], Awaitable[_T]]
    ) -> tuple[TokenValidator, _T]:
        refusal = TokenRefused("no validator is configured")
        for validator in self._whom(token):
            who = f"the token validator {type(validator).__name__}"
            try:
                return validator, await in_time(ask(validator), validator.seconds, who)
            except TokenRefused as exc:
                refusal = exc
        raise refusal

    def _whom(self, token: Secret) -> Sequence[TokenValidator]:
        known = [validator for validator in self._validators if validator.recognises(token)]
        return known or self._validators
