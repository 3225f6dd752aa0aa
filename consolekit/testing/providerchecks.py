"""Testing: how a named check of a provider runs, and what its author says. Knows no provider and no rule.

Every check runs on an event loop of its own, with a hypervisor and a provider of its own, so no pytest
plug-in is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, ClassVar, TypeVar

from consolekit.core.errors import ConsoleNotImplemented, ProviderError
from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Mode, Secret, Target
from consolekit.testing.background import Background
from consolekit.testing.handshakes import Transcript
from consolekit.testing.places import BadPlace, Manner
from consolekit.testing.validatorchecks import answer
from consolekit.testing.viewerfilters import Said

_Checks = TypeVar("_Checks", bound="ProviderChecks")
_POLL_SECONDS = 0.005


def check(
    body: Callable[[_Checks, ConsoleProvider], Coroutine[Any, Any, None]],
) -> Callable[[_Checks], None]:
    """Make a plain test method of an async one that wants a provider, with its hypervisor about it."""

    async def run(self: _Checks) -> None:
        with self.site():
            async with self.provider() as provider:
                await body(self, provider)

    return _named(lambda self: asyncio.run(run(self)), body)


def bare_check(body: Callable[[_Checks], Coroutine[Any, Any, None]]) -> Callable[[_Checks], None]:
    """Make a plain test method of an async one that makes its hypervisors and providers itself."""
    return _named(lambda self: asyncio.run(body(self)), body)


def _named(test: Callable[[_Checks], None], body: Callable[..., object]) -> Callable[[_Checks], None]:
    test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
    return test


class ProviderChecks:
    """What a provider's author says about it. Required is ``make_provider`` alone; more is checked with more.

    Attributes:
        key: The pair to ask for; default: the provider's first.
        server_id: A server whose console can be had.
        other_server_id: Another; empty if there is one only.
        unknown_server_id: One that the hypervisor does not know.
        refusals: Servers whose console cannot be had, each with the error that says so.
        valid_params: Parameters that requests may carry, each tried.
        wrong_params: Parameters that are refused, each with the place that the refusal must name.
        wrong_config: Tables that are refused, likewise; a place such as ``servers.web-1.address``.
        targets: Places as others name them, which the provider adopts; empty if it adopts none.
        viewer_says: What a viewer sends behind the handshake, for the filter; empty if there is no filter.
        secrets: Texts that nobody may ever see, such as the password in ``config``. What endpoints carry
            as ``Secret`` is looked for by itself.
        fresh_secrets: Whether each ``open`` takes a ticket of its own.
        knows_its_servers: False where the provider cannot tell a server that is not there: a known limit.
        asks_nobody: True where consoles are found without asking anybody over a network. Then nothing can
            hang, and that nobody is asked is checked instead.
        open_schemas: Places in the two schemas, such as ``config_schema.properties.labels``, that take keys
            which they do not name, on purpose: a known limit.
        patience: Seconds after which what should have ended counts as hanging.
    """

    key: ClassVar[ConsoleKey | None] = None
    server_id: str = "web-1"
    other_server_id: str = ""
    unknown_server_id: str = "no-such-server"
    refusals: Mapping[str, type[ProviderError]] = {}
    valid_params: Sequence[Mapping[str, Any]] = ({},)
    wrong_params: Sequence[tuple[Mapping[str, Any], str]] = ()
    wrong_config: Sequence[tuple[Mapping[str, Any], str]] = ()
    targets: Sequence[Target] = ()
    viewer_says: Sequence[Said] = ()
    secrets: Sequence[str] = ()
    fresh_secrets: ClassVar[bool] = False
    knows_its_servers: ClassVar[bool] = True
    asks_nobody: ClassVar[bool] = False
    open_schemas: ClassVar[Sequence[str]] = ()
    patience: ClassVar[float] = 5.0

    # ---- for the author

    async def make_provider(self) -> ConsoleProvider:
        """A provider with ``server_id`` at its hypervisor; called several times, each time for a new one.

        Build it as an operator's table does: ``Acme.from_config({...}, shared=Shared())``.

        Raises:
            NotImplementedError: the subclass does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its provider is made: make_provider")

    async def make_provider_at(self, host: str, port: int) -> ConsoleProvider:
        """The same, with its hypervisor at this place, where there is none that answers well.

        Raises:
            NotImplementedError: the subclass does not say.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must say make_provider_at(host, port), so that a hypervisor that hangs "
            "can be tried; or asks_nobody = True, if open asks nobody over a network"
        )

    def config(self) -> Mapping[str, Any] | None:
        """An operator's table, without ``use``, that is right; None if the provider takes none."""
        return None

    def hypervisor(self) -> AbstractAsyncContextManager[object]:
        """A hypervisor, real or played, for one check. Default: none.

        It lives in a thread and on an event loop of its own, so that a provider that blocks finds it there.
        One that lives longer is a fixture as usual.
        """
        return contextlib.nullcontext()

    def held(self) -> int:
        """How much the hypervisor holds for us now: logins, open ports, tickets that can be given back.

        Default: nothing that could be counted.
        """
        return 0

    def transcripts(self, endpoint: Endpoint) -> Sequence[Transcript]:
        """Good conversations for the handshake with this endpoint, as ``check_handshake`` wants them."""
        return ()

    def place(self, endpoint: Endpoint) -> object:
        """What is the same in each endpoint of a server. Default: transport, host, port and path."""
        return endpoint.transport, endpoint.host, endpoint.port, endpoint.path

    # ---- for the checks

    @contextmanager
    def site(self) -> Iterator[None]:
        """The hypervisor is there, until the block ends."""
        with Background() as background:
            background.enter(self.hypervisor())
            yield

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[ConsoleProvider]:
        """A provider; closed in the end. That it closes well is a check of its own."""
        provider = await self.make_provider()
        try:
            yield provider
        finally:
            await answer(asyncio.wait_for(provider.aclose(), self.patience))

    @asynccontextmanager
    async def provider_at(self, place: BadPlace) -> AsyncIterator[ConsoleProvider]:
        """A provider whose hypervisor is there; closed in the end."""
        provider = await self.make_provider_at(place.host, place.port)
        try:
            yield provider
        finally:
            await answer(asyncio.wait_for(provider.aclose(), self.patience))

    def bad_places(self) -> Iterator[BadPlace]:
        """Places without a hypervisor that answer at once; none where nobody is asked."""
        for manner in () if self.asks_nobody else (Manner.GONE, Manner.NONSENSE):
            with BadPlace(manner, patience=self.patience) as place:
                yield place

    def request(
        self,
        provider: ConsoleProvider,
        server_id: str = "",
        params: Mapping[str, Any] | None = None,
    ) -> ConsoleRequest:
        """A request, as the gateway would have made it of a call."""
        return ConsoleRequest(
            key=self.key or provider.keys[0],
            server_id=server_id or self.server_id,
            subject="ann",
            mode=Mode.INTERACT,
            params=self.valid_params[0] if params is None else params,
        )

    async def within(self, call: Awaitable[object]) -> object:
        """What a call gives, or the exception that it raises; TimeoutError if it takes too long."""
        return await answer(asyncio.wait_for(call, self.patience))

    async def good(self, provider: ConsoleProvider, server_id: str = "") -> Endpoint:
        """An endpoint of a server whose console can be had.

        Raises:
            AssertionError: it cannot.
        """
        said = await self.within(provider.open(self.request(provider, server_id)))
        assert isinstance(said, Endpoint), (
            f"open of {server_id or self.server_id} gave {said!r} instead of an Endpoint: is the hypervisor "
            "of the test there, and does it know the server?"
        )
        return said

    async def settled(self, most: int) -> int:
        """What is held, once it is no more than that, or patience is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience
        while (held := self.held()) > most and loop.time() < end:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_POLL_SECONDS)
        return held

    async def outcomes(
        self, provider: ConsoleProvider, server_id: str = ""
    ) -> AsyncIterator[tuple[str, object]]:
        """What each call says about a server, by the call's name; what is opened is closed again."""
        request = self.request(provider, server_id)
        yield "check", await self.within(provider.check(request))
        opened = await self.within(provider.open(request))
        yield "open", opened
        yield "connect_info", await self.within(provider.connect_info(request))
        if isinstance(opened, Endpoint):
            yield "named", _said(lambda: provider.named(opened))
            yield "close", await self.within(provider.close(opened))

    def hidden(self, *said: object) -> set[str]:
        """Texts that must not be seen: the author's, and what is a Secret in what a provider gave."""
        found = set(self.secrets)
        for thing in said:
            found |= {secret.reveal() for secret in _secrets_in(thing)}
        return {text for text in found if text}


def _said(call: Callable[[], object]) -> object:
    try:
        return call()
    except ConsoleNotImplemented as exc:
        return exc


def _secrets_in(thing: object) -> Iterator[Secret]:
    if isinstance(thing, Secret):
        yield thing
    elif isinstance(thing, Endpoint):
        yield from _secrets_in((thing.secret, *(value for _, value in thing.headers)))
    elif isinstance(thing, Target):
        yield from _secrets_in(thing.access)
    elif isinstance(thing, Mapping):
        yield from _secrets_in(tuple(thing.values()))
    elif isinstance(thing, tuple | list):
        for part in thing:
            yield from _secrets_in(part)
