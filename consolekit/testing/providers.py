"""Testing: what every provider must keep to, as one class of named checks. Knows no particular one.

Subclass it, say how a provider is made, and pytest does the rest::

    class TestAcme(ProviderContract):
        secrets = ("sesame",)

        def hypervisor(self):
            self.acme = FakeAcme()          # an async context manager
            return self.acme

        async def make_provider(self):
            return await self.make_provider_at("127.0.0.1", self.acme.port)

        async def make_provider_at(self, host, port):
            return AcmeProvider(url=f"http://{host}:{port}/", password=Secret("sesame"))

What the subclass may say besides is in ``ProviderChecks``. A known limit is one of its attributes, so that no
check has to be skipped or overridden.
"""

from __future__ import annotations

import inspect

import attrs

from consolekit.core.errors import (
    ConsoleKitError,
    ConsoleNotImplemented,
    PeerError,
    ProviderError,
    UnknownServer,
)
from consolekit.core.handshake import Script
from consolekit.core.provider import ConsoleProvider, ViewerFilter
from consolekit.core.types import Endpoint, Mode, Secret, Target
from consolekit.testing.endpointrules import faults_of
from consolekit.testing.handshakes import check_handshake, complaints
from consolekit.testing.providerchecks import check
from consolekit.testing.providerforms import ProviderForms
from consolekit.testing.providerstress import ProviderStress
from consolekit.testing.validatorchecks import all_logs, whole_text
from consolekit.testing.viewerfilters import check_viewer_filter

_NO_SERVERS = ("0", "x" * 128, "a:b@c.d-e_f", "..", "web-1.")
_PLACES = ("", " ", "a b", "a\r\nb", "::1%", "[::1]", "a/b", "user@host", "\0", "x" * 300)
_REFUSALS = (100, 200, 302, *range(400, 430), 451, *range(500, 512), 599)
_NOISE = bytes(range(256)) * 8


class ProviderContract(ProviderForms, ProviderStress):
    """The rules of ``ConsoleProvider``, each with a name."""

    @check
    async def test_check_says_nothing_of_a_good_server(self, provider: ConsoleProvider) -> None:
        """It raises, or gives None."""
        for params in self.valid_params:
            said = await self.within(provider.check(self.request(provider, params=params)))
            assert said is None, f"check of {self.server_id} with {dict(params)} gave {said!r}, not None"

    @check
    async def test_check_takes_nothing(self, provider: ConsoleProvider) -> None:
        """No ticket and no port: nobody may ever open the link."""
        request = self.request(provider)
        await self.within(provider.check(request))
        before = self.held()
        await self.within(provider.check(request))
        assert await self.settled(before) <= before, (
            "check takes something that nobody gives back: take it in open"
        )

    @check
    async def test_open_gives_a_well_formed_endpoint(self, provider: ConsoleProvider) -> None:
        """For each of valid_params; what the gateway could not connect to is found here."""
        for params in self.valid_params:
            said = await self.within(provider.open(self.request(provider, params=params)))
            assert not isinstance(said, Exception), f"open with {dict(params)} raised {said!r}"
            faults = faults_of(said)
            assert not faults, f"open: {'; '.join(faults)}"
            assert isinstance(said, Endpoint)
            await self.within(provider.close(said))

    @check
    async def test_an_unknown_server_is_unknown(self, provider: ConsoleProvider) -> None:
        """UnknownServer, so that the next provider is asked; whatever the id looks like."""
        if not self.knows_its_servers:
            return
        for server_id in (self.unknown_server_id, *_NO_SERVERS):
            request = self.request(provider, server_id)
            for call in (provider.check, provider.open):
                said = await self.within(call(request))
                assert isinstance(said, UnknownServer), (
                    f"{call.__name__} of server {server_id!r} gave {said!r}: raise UnknownServer, or set "
                    "knows_its_servers = False if it cannot be told"
                )

    @check
    async def test_a_refusal_says_why(self, provider: ConsoleProvider) -> None:
        """Each of refusals, at both calls: the state may change between them."""
        for server_id, error in self.refusals.items():
            request = self.request(provider, server_id)
            for call in (provider.check, provider.open):
                said = await self.within(call(request))
                assert isinstance(said, error), (
                    f"{call.__name__} of {server_id} gave {said!r}: raise {error.__name__}"
                )

    @check
    async def test_every_error_is_one_of_ours(self, provider: ConsoleProvider) -> None:
        """No error of a library, of Python or of one's own gets out; where the hypervisor is away too."""
        for server_id in (self.server_id, self.unknown_server_id, *self.refusals):
            async for what, said in self.outcomes(provider, server_id):
                _demand_ours(what, said)
        for place in self.bad_places():
            async with self.provider_at(place) as elsewhere:
                for call in (elsewhere.check, elsewhere.open):
                    said = await self.within(call(self.request(elsewhere)))
                    _demand_ours(f"{call.__name__} with a hypervisor that {place.manner.value}", said)

    @check
    async def test_close_gives_back_what_open_took(self, provider: ConsoleProvider) -> None:
        """And gives None."""
        await self.within(provider.close(await self.good(provider)))
        before = self.held()
        for _ in range(3):
            said = await self.within(provider.close(await self.good(provider)))
            assert said is None, f"close gave {said!r}, not None"
        assert await self.settled(before) <= before, "close does not give back all that open took"

    @check
    async def test_each_console_is_fresh(self, provider: ConsoleProvider) -> None:
        """A ticket is good once; the second viewer, or the same one coming back, needs another."""
        first, second = await self.good(provider), await self.good(provider)
        if self.fresh_secrets:
            assert first.secret, "fresh_secrets = True, and the endpoint has no secret"
            assert first.secret != second.secret, (
                "open gave the same ticket twice: take a fresh one each time"
            )
        for endpoint in (first, second):
            await self.within(provider.close(endpoint))

    @check
    async def test_what_others_have_named_is_checked(self, provider: ConsoleProvider) -> None:
        """Targets come from outside: a place that cannot be meant is refused."""
        request = self.request(provider)
        for target in self.targets:
            said = await self.within(provider.adopt(request, target))
            faults = faults_of(said)
            assert not faults, f"adopt of {target.host}:{target.port}: {'; '.join(faults)} ({said!r})"
        for target in _wrong_targets():
            said = await self.within(provider.adopt(request, target))
            if isinstance(said, Endpoint):
                assert not faults_of(said), f"adopt uses {target!r} as it came: {'; '.join(faults_of(said))}"
            else:
                assert isinstance(said, ConsoleKitError), (
                    f"adopt of {target!r} gave {said!r}: raise ConsoleUnavailable"
                )

    @check
    async def test_an_endpoint_can_be_named(self, provider: ConsoleProvider) -> None:
        """For whoever connects in our stead; or ConsoleNotImplemented says that nobody can."""
        endpoint = await self.good(provider)
        try:
            target = provider.named(endpoint)
        except ConsoleNotImplemented:
            return
        assert isinstance(target, Target), f"named gave {target!r}, not a Target"
        await self.within(provider.close(endpoint))

    @check
    async def test_a_refused_websocket_is_said_in_our_words(self, provider: ConsoleProvider) -> None:
        """Whatever HTTP status its server answers: a ProviderError without a secret, or None."""
        endpoint = await self.good(provider)
        hidden = self.hidden(endpoint)
        for status in _REFUSALS:
            try:
                said = provider.refused(endpoint, status)
            except Exception as exc:
                raise AssertionError(f"refused of status {status} raised {exc!r}: give it, or None") from exc
            assert said is None or isinstance(said, ProviderError), (
                f"refused of status {status} gave {said!r}: give a ProviderError, or None"
            )
            if said is not None:
                text = whole_text(said)
                assert not [needle for needle in hidden if needle in text], (
                    f"refused of status {status} quotes a secret"
                )
        await self.within(provider.close(endpoint))

    @check
    async def test_each_session_has_a_script_of_its_own(self, provider: ConsoleProvider) -> None:
        """``handshake`` makes a generator that has not begun, or None."""
        endpoint = await self.good(provider)
        first, second = provider.handshake(endpoint), provider.handshake(endpoint)
        if first is None:
            assert second is None, "handshake gives a script once, and then none"
            assert not self.transcripts(endpoint), "transcripts() tells a handshake, and handshake gives none"
        else:
            for script in (first, second):
                assert inspect.isgenerator(script), (
                    f"handshake gave {script!r}, not a generator function's result"
                )
                assert inspect.getgeneratorstate(script) == inspect.GEN_CREATED, (
                    "the script has begun already"
                )
            assert first is not second, "handshake gives the same script twice: make one for each session"
        await self.within(provider.close(endpoint))

    @check
    async def test_the_handshake_stands_every_delivery(self, provider: ConsoleProvider) -> None:
        """Any chunking and interleaving, bytes behind its end, garbage, and the end at every byte."""
        endpoint = await self.good(provider)
        if provider.handshake(endpoint) is not None:
            transcripts = self.transcripts(endpoint)
            assert transcripts, "handshake gives a script: give good conversations in transcripts(endpoint)"
            for transcript in transcripts:
                check_handshake(lambda: self._script(provider, endpoint), transcript)
        await self.within(provider.close(endpoint))

    @check
    async def test_looking_only_has_its_filter(self, provider: ConsoleProvider) -> None:
        """Whoever offers Mode.VIEW says which bytes of a viewer go through."""
        endpoint = await self.good(provider)
        for mode in provider.modes:
            made = provider.viewer_filter(endpoint, mode)
            if mode is Mode.VIEW:
                assert made is not None, "modes holds Mode.VIEW: viewer_filter must give a filter for it"
            if made is not None:
                assert made.inputs == 0, "a filter begins with inputs == 0"
                assert self.viewer_says, "there is a filter: say what a viewer sends in viewer_says"
                assert made is not provider.viewer_filter(endpoint, mode), (
                    "each session has a filter of its own"
                )
        await self.within(provider.close(endpoint))

    @check
    async def test_an_acting_viewers_bytes_pass_unchanged(self, provider: ConsoleProvider) -> None:
        """In mode INTERACT a filter only counts, whatever comes, and however it is cut."""
        endpoint = await self.good(provider)
        stream = b"".join(said.data for said in self.viewer_says)
        for data in filter(None, (stream, stream[:1] + _NOISE)):
            for size in (1, 7, len(data)):
                made = provider.viewer_filter(endpoint, Mode.INTERACT)
                if made is None:
                    break
                for start in range(0, len(data), size):
                    piece = data[start : start + size]
                    assert made.feed(piece) == piece, f"the filter changes or keeps bytes at {start}"
                assert made.inputs > 0, "viewer_says holds what a person does, and inputs does not grow"
        await self.within(provider.close(endpoint))

    @check
    async def test_the_viewer_filter_stands_every_delivery(self, provider: ConsoleProvider) -> None:
        """However a viewer's bytes are cut, in both modes, and garbage."""
        endpoint = await self.good(provider)
        if Mode.VIEW in provider.modes:
            check_viewer_filter(lambda mode: self._filter(provider, endpoint, mode), self.viewer_says)
        await self.within(provider.close(endpoint))

    def _filter(self, provider: ConsoleProvider, endpoint: Endpoint, mode: Mode) -> ViewerFilter:
        made = provider.viewer_filter(endpoint, mode)
        assert made is not None, f"modes holds Mode.VIEW: viewer_filter must give a filter for {mode}"
        return made

    @check
    async def test_no_repr_holds_a_secret(self, provider: ConsoleProvider) -> None:
        """repr, str, format and attrs.asdict: of the provider and of all that it gives."""
        seen = [("the provider", provider), *[pair async for pair in self.outcomes(provider)]]
        hidden = self.hidden(*(said for _, said in seen))
        for what, said in seen:
            for how, text in _shown(said):
                assert not [needle for needle in hidden if needle in text], (
                    f"{how} of {what} shows a secret: keep it in a Secret, and out of the path ({{secret}})"
                )

    @check
    async def test_no_log_holds_a_secret(self, provider: ConsoleProvider) -> None:
        """At no level, in no field of a record, in no traceback."""
        seen: list[object] = []
        with all_logs() as texts:
            for server_id in (self.server_id, self.unknown_server_id, *self.refusals):
                seen += [said async for _, said in self.outcomes(provider, server_id)]
            for place in self.bad_places():
                async with self.provider_at(place) as elsewhere:
                    await self.within(elsewhere.open(self.request(elsewhere)))
            await self.within(provider.aclose())
        hidden = self.hidden(*seen)
        for text in texts:
            assert not [needle for needle in hidden if needle in text], (
                f"logger {text.split()[0]} is told a secret: log what is not, at every level"
            )

    @check
    async def test_no_exception_text_holds_a_secret(self, provider: ConsoleProvider) -> None:
        """Nor do the exceptions behind it, nor what the handshake says to garbage."""
        endpoint = await self.good(provider)
        seen = [pair async for pair in self.outcomes(provider)]
        for server_id in (self.unknown_server_id, *self.refusals):
            seen += [pair async for pair in self.outcomes(provider, server_id)]
        for place in self.bad_places():
            async with self.provider_at(place) as elsewhere:
                seen.append(("open", await self.within(elsewhere.open(self.request(elsewhere)))))
        for transcript in self.transcripts(endpoint):
            made = complaints(lambda: self._script(provider, endpoint), transcript)
            seen += [("the handshake", exc) for exc in made]
        hidden = self.hidden(endpoint, *(said for _, said in seen))
        for what, said in seen:
            if isinstance(said, Exception):
                text = whole_text(said)
                assert not [needle for needle in hidden if needle in text], (
                    f"the {type(said).__name__} of {what}, or one behind it, quotes a secret"
                )
        await self.within(provider.close(endpoint))

    @check
    async def test_closing_twice_is_no_error(self, provider: ConsoleProvider) -> None:
        """Used, and after a call that failed; each time all is given back."""
        await self.within(provider.close(await self.good(provider)))
        await self.within(provider.open(self.request(provider, self.unknown_server_id)))
        for _ in range(2):
            said = await self.within(provider.aclose())
            assert said is None, f"aclose raised or gave {said!r}"

    def _script(self, provider: ConsoleProvider, endpoint: Endpoint) -> Script:
        script = provider.handshake(endpoint)
        assert script is not None, "handshake gives a script once, and then none"
        return script


def _demand_ours(what: str, said: object) -> None:
    ours = (ProviderError, PeerError)
    assert not isinstance(said, Exception) or isinstance(said, ours), (
        f"{what} raised {type(said).__name__}: raise ConsoleUnavailable or another ProviderError from it"
    )


def _wrong_targets() -> list[Target]:
    places = [Target(host=host, port=5900) for host in _PLACES]
    places += [Target(host="192.0.2.1", port=port) for port in (0, -1, 65536)]
    access = ("\0", "a\r\nX: y", "ü", " ", "../..", "{secret}", "x" * 100_000)
    return places + [Target(host="192.0.2.1", port=5900, access=Secret(text)) for text in access]


def _shown(thing: object) -> list[tuple[str, str]]:
    shown = [("repr", repr(thing)), ("str", str(thing)), ("format", f"{thing}")]
    if attrs.has(type(thing)):
        shown.append(("attrs.asdict", repr(attrs.asdict(thing))))  # type: ignore[arg-type]  # has() has looked
    return shown
