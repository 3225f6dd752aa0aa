"""Kit: the embedder's facade, from "show me this server's console" to a URL, and back by revoking.

Knows core, tokens and providers; knows no HTTP server. Everything is passed in: no globals, so two kits
in one process do not see each other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, get_args

from consolekit.auth.base import AccessContext, TokenIssuer, TokenStore, TokenValidator
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.life import GrantLife
from consolekit.core.errors import (
    ConsoleKitError,
    ConsoleNotImplemented,
    ConsoleUnavailable,
    InvalidRequest,
    NotFound,
    PeerError,
    PermitRefused,
    Problem,
    ProviderError,
    TokenRefused,
    UnknownServer,
)
from consolekit.core.hooks import Hooks
from consolekit.core.provider import ConsoleProvider
from consolekit.core.registry import ProviderRegistry
from consolekit.core.schema import ConsoleSchema
from consolekit.core.timings import Step, Timings
from consolekit.core.types import (
    Action,
    Caller,
    Clock,
    ConsoleKey,
    ConsoleRequest,
    Grant,
    Mode,
    Revocation,
    Scope,
    Secret,
    SessionInfo,
    SystemClock,
)
from consolekit.kit.links import ConsoleLink, KitSettings, Offer, make_link

_log = logging.getLogger(__name__)
T = TypeVar("T")
Operation = Literal["adopt", "check", "connect_info", "open"]

OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
"""What providers are asked and the time of it is measured."""


class ConsoleKit:
    """Validate, permit, check, issue; list; revoke.

    Args:
        registry: The providers, in order.
        store: Where grants, sessions and revocations are.
        issuer: Makes tokens.
        validators: Redeem tokens, asked in order; by the names that figures call them by, if they have any.
        hooks: Who listens.
        clock: Where time comes from.
        settings: See ``KitSettings``.
        timings: Measures the calls to validators, providers and servers; whoever wants to know listens there.
    """

    def __init__(
        self,
        *,
        registry: ProviderRegistry,
        store: TokenStore,
        issuer: TokenIssuer,
        validators: Sequence[TokenValidator] | Mapping[str, TokenValidator],
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        settings: KitSettings | None = None,
        timings: Timings | None = None,
    ) -> None:
        self.registry = registry
        self.store = store
        self.issuer = issuer
        self.hooks: Hooks = hooks or Hooks()
        self.clock: Clock = clock or SystemClock()
        self.timings: Timings = timings or Timings(self.clock)
        self.timings.around = self.hooks.around
        self.validators: ValidatorChain = ValidatorChain(validators, timings=self.timings)
        self.settings: KitSettings = settings or KitSettings()
        self.schema: ConsoleSchema = ConsoleSchema(registry)

    async def create(
        self, server_id: object, data: Mapping[str, Any], *, caller: Caller, subject: str | None = None
    ) -> ConsoleLink:
        """Make a link to a server's console.

        Args:
            server_id: Which server.
            data: ``protocol`` and ``type``, optionally ``subject``, ``mode``, ``params``,
                ``ttl_seconds``; outside data, validated here.
            caller: Who asks.
            subject: For whom, where ``data`` does not say; default: the caller's name.

        Raises:
            InvalidRequest: ``data`` breaks the schema.
            UnsupportedConsole: the pair is not registered.
            ConsoleNotImplemented: the pair is known and deliberately not offered, or the server's provider
                has no view-only consoles and one is asked for.
            PermitRefused: a hook refused.
            UnknownServer: no provider of the pair knows the server.
            ConsoleConflict: the server's state allows no console.
            ConsoleUnavailable: it cannot be had now.
            StoreUnavailable: the token could not be kept.
        """
        with self.timings.step("create"):
            return await self._create(server_id, data, caller, subject)

    async def _create(
        self, server_id: object, data: Mapping[str, Any], caller: Caller, subject: str | None
    ) -> ConsoleLink:
        request = self.schema.validate(server_id, data, subject=subject or caller.name)
        self.hooks.permit(
            caller,
            Action.CREATE,
            server_id=request.server_id,
            subject=request.subject,
            mode=request.mode,
        )
        self.hooks.notify("consolekit_request_validated", request=request, caller=caller)
        provider = await self._find(request)
        now = self.clock.now()
        grant = Grant(
            id=secrets.token_hex(8),
            request=request,
            provider=provider,
            issued_at=now,
            expires_at=now + data.get("ttl_seconds", self.settings.token_seconds),
            session_seconds=self.settings.session_seconds,
        )
        with self.timings.step("issue", grant_id=grant.id):
            return make_link(grant, await self.issuer.issue(grant), self.settings)

    async def _find(self, request: ConsoleRequest) -> str:
        """The first provider, in order, that knows the server."""
        for name, provider in self.registry.offering(request.key):
            try:
                await self._check(name, request)
            except UnknownServer:
                continue
            if request.mode not in provider.modes:
                raise ConsoleNotImplemented(f"provider {name} has no consoles of mode {request.mode.value}")
            return name
        raise UnknownServer(f"no provider of {request.key} knows server {request.server_id}")

    async def _check(self, name: str, request: ConsoleRequest) -> None:
        await self.ask(name, "check", lambda provider: provider.check(request))

    async def ask(
        self, name: str, operation: Operation, question: Callable[[ConsoleProvider], Awaitable[T]]
    ) -> T:
        """Ask a provider within its time; whatever it raises is an error of ours.

        Args:
            name: Which one.
            operation: What is asked, for the figures.
            question: Asks it.
        """
        with self.timings.measure(Step.PROVIDER, name, operation):
            return await self._ask(name, question)

    async def _ask(self, name: str, question: Callable[[ConsoleProvider], Awaitable[T]]) -> T:
        seconds = self.settings.check_seconds
        try:
            async with asyncio.timeout(seconds):
                return await question(self.registry.get(name))
        except ConsoleKitError:
            raise
        except TimeoutError as exc:
            raise ConsoleUnavailable(f"provider {name} gave no answer within {seconds:g} s") from exc
        except Exception as exc:
            _log.exception("provider raised what its contract does not allow", extra={"provider": name})
            raise ProviderError(f"provider {name} failed: {type(exc).__name__}") from exc

    def check_params(self, grant: Grant) -> None:
        """See that a grant's provider takes its ``params``: one that others have made was not validated here.

        Raises:
            UnknownServer: the provider is not configured (any more).
            TokenRefused: it does not take them.
        """
        params = grant.request.params
        if grant.target is not None and not params:  # who has named the place need not know them
            return
        if problems := self.schema.params_problems(grant.provider, params):
            raise TokenRefused(f"provider {grant.provider} does not take it: {problems[0]}")

    async def connect_info(
        self, server_id: object, key: ConsoleKey, *, caller: Caller
    ) -> Mapping[str, object]:
        """What a program needs to open a console by itself, past this gateway, where there is such a way.

        Members that open something are ``Secret``; who may see them is for whoever shows them to decide
        (``Caller.see_secrets``).

        Args:
            server_id: Which server.
            key: Which pair.
            caller: Who asks.

        Raises:
            InvalidRequest: the server id breaks the schema.
            UnsupportedConsole: the pair is not registered.
            ConsoleNotImplemented: the pair has no such way.
            PermitRefused: a hook refused.
            UnknownServer: no provider of the pair knows the server.
            ConsoleConflict: the server's state allows no console.
            ConsoleUnavailable: it cannot be had now.
        """
        request = self.schema.probe(server_id, key, subject=caller.name)
        offering = self.registry.offering(key)
        self.hooks.permit(
            caller,
            Action.CONNECT_INFO,
            server_id=request.server_id,
            subject=request.subject,
            mode=Mode.INTERACT,  # nobody would stand between the program and the console
        )
        for name, _ in offering:
            try:
                await self._check(name, request)
            except UnknownServer:
                continue
            except ConsoleNotImplemented:  # known, and its only way may be past us
                pass
            info = await self.ask(name, "connect_info", lambda provider: provider.connect_info(request))
            _log.info("connection information given", extra={"caller": caller.name, "provider": name})
            return info
        raise UnknownServer(f"no provider of {key} knows server {request.server_id}")

    async def offers(self, server_id: object, *, caller: Caller) -> list[Offer]:
        """Which pairs a server offers now, in the registry's order.

        Raises:
            InvalidRequest: the server id breaks the schema.
            PermitRefused: a hook refused.
            UnknownServer: no provider knows the server.
        """
        server_id = self.schema.check_server_id(server_id)
        found: list[Offer] = []
        for key in self.registry.pairs():
            probe = self.schema.probe(server_id, key, subject=caller.name)
            self.hooks.permit(caller, Action.OFFERS, server_id=probe.server_id, subject=probe.subject)
            found.extend(await self._offers_of(key, probe))
        if not found:
            raise UnknownServer(f"no provider knows server {server_id}")
        return found

    async def _offers_of(self, key: ConsoleKey, probe: ConsoleRequest) -> list[Offer]:
        for name, _ in self.registry.offering(key):
            try:
                await self._check(name, probe)
            except UnknownServer:
                continue
            except (ProviderError, PeerError) as exc:  # one that fails keeps nobody from the other pairs
                return [Offer(key=key, provider=name, available=False, code=exc.code)]
            return [Offer(key=key, provider=name)]
        return []

    async def sessions(self, *, caller: Caller, server_id: str | None = None) -> list[SessionInfo]:
        """Live sessions that the caller may see, oldest first.

        Raises:
            StoreUnavailable: they cannot be told now.
        """
        return [
            session
            for session in await self.store.sessions()
            if server_id in (None, session.server_id) and self._may_list(caller, session)
        ]

    def _may_list(self, caller: Caller, session: SessionInfo) -> bool:
        try:
            self.hooks.permit(caller, Action.LIST, server_id=session.server_id, subject=session.subject)
        except PermitRefused:
            return False
        return True

    async def revoke(self, grant_id: str, *, caller: Caller) -> None:
        """Take a grant back: its token opens nothing any more, its live session ends.

        Raises:
            NotFound: there is no such grant, or the caller may not know of it.
            StoreUnavailable: it could not be written; nothing is revoked.
        """
        for grant in await self.store.grants(grant_id=grant_id):
            request = grant.request
            self._permit_end(caller, Action.REVOKE, request.server_id, request.subject)
            await self._revoke(Scope.GRANT, grant_id)
            return
        for session in await self.store.sessions():
            if session.grant_id == grant_id:
                self._permit_end(caller, Action.REVOKE, session.server_id, session.subject)
                await self._revoke(Scope.GRANT, grant_id)
                return
        raise NotFound("no such grant")  # not quoted: it may be a token, put in the wrong place

    async def kill(self, session_id: str, *, caller: Caller) -> None:
        """End one live session, wherever it lives; it cannot be resumed.

        Raises:
            NotFound: there is no such session, or the caller may not know of it.
            StoreUnavailable: it could not be written; the session goes on.
        """
        for session in await self.store.sessions():
            if session.id == session_id:
                self._permit_end(caller, Action.KILL, session.server_id, session.subject)
                await self._revoke(Scope.SESSION, session_id)
                return
        raise NotFound("no such session")

    def _permit_end(self, caller: Caller, action: Action, server_id: str, subject: str) -> None:
        """A caller that may not end it is not told that it is there."""
        try:
            self.hooks.permit(caller, action, server_id=server_id, subject=subject)
        except PermitRefused as exc:
            raise NotFound(f"{action.value} refused: {exc}") from exc

    async def revoke_all(self, scope: Scope, value: str) -> int:
        """Take back everything issued so far for a server or a subject; for hypervisor events and leavers.

        Scope GRANT takes back one grant whether the store knows it or not: a sealed token is in no store
        before its first use.

        Returns:
            How many grants were removed. Live sessions end wherever they are.

        Raises:
            InvalidRequest: ``scope`` is SESSION; ``kill`` ends one.
            StoreUnavailable: it could not be written; nothing is revoked.
        """
        if scope is Scope.SESSION:
            raise InvalidRequest([Problem("scope", "must be grant, server or subject")])
        return await self._revoke(scope, value)

    async def inspect(self, token: Secret) -> GrantLife:
        """What a token stands for, and whether it is used or expired; it is not redeemed.

        Raises:
            TokenRefused: it is nobody's.
            StoreUnavailable: it could not be told.
        """
        return await self.validators.inspect(token, AccessContext())

    async def _revoke(self, scope: Scope, value: str) -> int:
        revocation = Revocation(scope=scope, value=value, at=self.clock.now())
        removed = await self.store.revoke(revocation)
        self.hooks.notify("consolekit_revoked", revocation=revocation, removed=removed)
        return removed

    async def aclose(self) -> None:
        """End validators, providers and store; each is closed even if another's close fails."""
        for validator in self.validators:
            try:
                await validator.aclose()
            except Exception:
                _log.exception("validator did not close cleanly")
        for name, provider in self.registry:
            try:
                await provider.aclose()
            except Exception:
                _log.exception("provider did not close cleanly", extra={"provider": name})
        await self.store.aclose()
