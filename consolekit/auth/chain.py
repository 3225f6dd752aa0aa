"""Auth: several validators, asked as one. Knows their contract alone; knows no token's form and no store.

A token whose form a validator recognises is its to judge, or another's of the same kind: nobody else is
asked, so that no issuer gets to see another's tokens. Any other is offered to each in turn, in the configured
order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.intime import in_time
from consolekit.auth.life import GrantLife
from consolekit.core.errors import TokenRefused
from consolekit.core.timings import Step, Timings
from consolekit.core.types import Grant, Secret, SystemClock

_T = TypeVar("_T")


class ValidatorChain:
    """The validators of one kit, each with its deadline; fails closed.

    Args:
        validators: In the order of asking; by the names that figures call them by, else their class is it.
        timings: Who measures how long they take; default: nobody.

    Attributes:
        names: The validators' names, each once.
    """

    def __init__(
        self,
        validators: Sequence[TokenValidator] | Mapping[str, TokenValidator],
        *,
        timings: Timings | None = None,
    ) -> None:
        if isinstance(validators, Mapping):
            self._named = tuple(validators.items())
        else:
            self._named = tuple((type(validator).__name__, validator) for validator in validators)
        self._timings = timings or Timings(SystemClock())
        self.names: tuple[str, ...] = tuple(sorted({name for name, _ in self._named}))

    def __iter__(self) -> Iterator[TokenValidator]:
        return iter([validator for _, validator in self._named])

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
        for name, validator in self._whom(token):
            who = f"the token validator {type(validator).__name__}"
            try:
                with self._timings.measure(Step.VALIDATOR, name):
                    return validator, await in_time(ask(validator), validator.seconds, who)
            except TokenRefused as exc:
                refusal = exc
        raise refusal

    def _whom(self, token: Secret) -> Sequence[tuple[str, TokenValidator]]:
        known = [named for named in self._named if named[1].recognises(token)]
        return known or self._named
