"""VMware's tickets as Nova hands them on, through ``consolekit proxy`` as an operator runs it.

Nova names the host and a ticket; the websocket comes with Nova's token; the host takes the ticket once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import websockets.asyncio.client
import websockets.exceptions
from esxihost import HostCertificate, host_certificate, in_background
from novastub import NovaStub, nova
from served import Served, serving
from vmwaresite import CFG, SIZE, log_in

from consolekit.testing.authd import AuthdFront
from consolekit.testing.esxi import EsxiFront
from consolekit.testing.rfbserver import RfbServer
from consolekit.testing.tickets import Tickets

pytestmark = pytest.mark.timeout(120)

TICKET = "52e5f0a1-b2c3-d4e5-f607-0a1b2c3d4e5f"
PROVIDER = """
[providers.esx]
use = "webmks"
adopt = true
allowed_networks = ["127.0.0.0/8", "::1/128"]
{rules}
[validators.cloud]
use = "nova"
mks_provider = "esx"
auth = {{ {auth} }}
"""


@pytest.fixture
def certificate(tmp_path: Path) -> HostCertificate:
    """Of a host whose CA nobody knows."""
    return host_certificate(tmp_path / "esx")


@attrs.frozen
class Site:
    """What is running; Nova's token is good for one console of the host."""

    gateway: Served
    stub: NovaStub
    host: EsxiFront | AuthdFront
    token: str

    def browser(self) -> websockets.asyncio.client.connect:
        """What noVNC's page asks for behind Nova's link."""
        url = self.gateway.urls["proxy"]
        return websockets.asyncio.client.connect(
            f"ws{url.removeprefix('http')}/websockify?token={self.token}",
            subprotocols=["binary"],
            origin=url,
            compression=None,
            proxy=None,
        )


@contextmanager
def site(form: str, directory: Path, certificate: HostCertificate, rules: str) -> Iterator[Site]:
    """A host behind Nova, in one of the two forms of ``internal_access_path``."""
    tickets = Tickets([TICKET])
    with nova() as stub, in_background(RfbServer()) as screen:
        place = ("127.0.0.1", screen.port)
        if form == "/ticket/":
            front: EsxiFront | AuthdFront = EsxiFront(place, certificate.context, tickets=tickets)
            access = f"/ticket/{TICKET}"
        else:
            second = host_certificate(directory / "second")
            front = AuthdFront(place, certificate.identity, second.identity, tickets=tickets, cfg_file=CFG)
            access = json.dumps({"ticket": TICKET, "cfgFile": CFG, "thumbprint": certificate.sha1})
        with in_background(front) as host:
            token = stub.add("localhost", host.port, access)
            auth = ", ".join(f"{name} = {json.dumps(value)}" for name, value in stub.auth().items())
            with serving(directory, PROVIDER.format(rules=rules, auth=auth), role="proxy") as gateway:
                yield Site(gateway, stub, host, token)


def pinned(certificate: HostCertificate) -> str:
    return f'host_pins = {{ LOCALHOST = "{certificate.sha256}" }}'


@pytest.mark.parametrize("form", ["/ticket/", "mks"])
async def test_the_screen(tmp_path: Path, certificate: HostCertificate, form: str) -> None:
    # port 902 names its second certificate by SHA-1 in all that was published of it
    rules = pinned(certificate) + ("\nallow_sha1 = true" if form == "mks" else "")
    with site(form, tmp_path, certificate, rules) as running:
        async with running.browser() as browser:
            assert browser.subprotocol == "binary"
            assert await log_in(browser) == SIZE
        assert running.host.tickets.taken == [TICKET]
        assert running.stub.lookups == {200: 1}
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            await running.browser()
        assert caught.value.response.status_code == 502
        assert running.host.tickets.refused == [TICKET], "Nova's ticket is good once, and asked for once"
    log = (tmp_path / "consolekit.log").read_text()
    assert "session opened" in log
    for secret in (TICKET, running.token, *running.stub.every_token):
        assert secret not in log


@pytest.mark.parametrize("form", ["/ticket/", "mks"])
@pytest.mark.parametrize("rules", ["", "host_pins"], ids=["no pin", "the pin of another certificate"])
async def test_a_host_that_nobody_can_vouch_for_sees_no_ticket(
    tmp_path: Path, certificate: HostCertificate, form: str, rules: str
) -> None:
    with_pin = pinned(host_certificate(tmp_path / "other"))
    # without allow_sha1 the thumbprint in Nova's JSON counts for nothing; a pin counts before it
    given = with_pin + "\nallow_sha1 = true" if rules else ""
    with site(form, tmp_path, certificate, given) as running:
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            await running.browser()
        assert caught.value.response.status_code == 502
        assert json.loads(caught.value.response.body)["code"] == "certificate_refused"
        assert running.host.tickets.taken == running.host.tickets.refused == []
