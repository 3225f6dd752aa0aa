from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import attrs
import pytest
import trustme

from consolekit.core.errors import HypervisorProtocol
from consolekit.core.types import Endpoint, Secret, TlsPolicy, Transport
from consolekit.providers.vsphere import Ticket
from consolekit.providers.webmks.ticket import (
    AuthdEndpoint,
    TicketRules,
    authd_endpoint,
    webmks_endpoint,
)

ID = "cst-52e5f0a1b2c3d4e5"
SHA256 = "ab" * 32
SHA1 = "cd" * 20
COLONS = ":".join(["AB"] * 32)
SHA1_COLONS = ":".join(["CD"] * 20)
PINNED = TlsPolicy(pin_sha256=SHA256)
CFG = "/vmfs/volumes/5f0c/web-1/web-1.vmx"


def ticket(**changes: object) -> Ticket:
    whole = Ticket(
        kind="webmks",
        ticket=Secret(ID),
        cfg_file=CFG,
        host="esx1.lab",
        port=443,
        cert_thumbprints=(("SHA-256", COLONS),),
        asked_host="vc.lab",
    )
    return attrs.evolve(whole, **changes)


def wss(**changes: object) -> Endpoint:
    return webmks_endpoint(ticket(**changes), TicketRules())


def url(text: str) -> Endpoint:
    return wss(url=Secret(text))


class TestWhere:
    def test_from_host_and_port(self) -> None:
        assert wss() == Endpoint(
            transport=Transport.WSS,
            host="esx1.lab",
            port=443,
            path="/ticket/{secret}",
            tls=PINNED,
            subprotocols=("binary",),
            secret=Secret(ID),
        )

    def test_what_is_not_told_is_the_asked_host_and_the_usual_port(self) -> None:
        endpoint = wss(host="", port=0)
        assert (endpoint.host, endpoint.port) == ("vc.lab", 443)

    def test_from_a_url_of_the_usual_form(self) -> None:
        endpoint = url(f"wss://esx2.lab:8443/ticket/{ID}")
        assert (endpoint.host, endpoint.port) == ("esx2.lab", 8443)
        assert (endpoint.path, endpoint.secret) == ("/ticket/{secret}", Secret(ID))

    @pytest.mark.parametrize("path", ["/ticket/another", f"/vsan/{ID}?x=1", "/%2e/a", "/"])
    def test_from_a_url_of_another_form_all_of_the_path_is_secret(self, path: str) -> None:
        endpoint = url(f"wss://esx2.lab{path}")
        assert endpoint.port == 443
        assert (endpoint.path, endpoint.secret) == ("{secret}", Secret(path))

    @pytest.mark.parametrize(
        ("host", "found"),
        [
            ("10.0.0.5", "10.0.0.5"),
            ("ESX1.Lab", "ESX1.Lab"),
            ("esx_1", "esx_1"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
        ],
    )
    def test_hosts(self, host: str, found: str) -> None:
        assert wss(host=host).host == found
        written = f"[{host}]" if ":" in host and "[" not in host else host
        assert url(f"wss://{written}/ticket/{ID}").host == found.lower()

    def test_nothing_secret_in_repr(self) -> None:
        for endpoint in (wss(), url(f"wss://esx/ticket/{ID}"), url("wss://esx/x/hunter2")):
            assert ID not in repr(endpoint)
            assert "hunter2" not in repr(endpoint)


class TestWhatCannotBeMeant:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a b",
            "a/b",
            "../etc",
            "a?b",
            "a#b",
            "a%0d%0a",
            "a\r\nHost: evil",
            "a\n",
            "\0",
            "é",
            "{secret}",
            "a" * 1025,
        ],
    )
    def test_tickets(self, text: str) -> None:
        with pytest.raises(HypervisorProtocol) as caught:
            wss(ticket=Secret(text))
        assert len(text) < 2 or text not in str(caught.value)

    @pytest.mark.parametrize(
        "host",
        [
            "a b",
            "esx1\r\n",
            "esx1\n",
            "esx1/x",
            "esx1:443",
            "user@esx1",
            "esx1?x",
            "::1::",
            "fe80::1%eth0",
            "fe80::1%a\r\nb",
            "[esx1]",
            "-esx1",
            "esx1\0",
            "ésx",
            "http://esx1",
            "h" * 255,
        ],
    )
    def test_hosts(self, host: str) -> None:
        for broken in (ticket(host=host), ticket(host="", asked_host=host)):
            with pytest.raises(HypervisorProtocol):
                webmks_endpoint(broken, TicketRules())
            with pytest.raises(HypervisorProtocol):
                authd_endpoint(broken, TicketRules())

    def test_no_host_at_all(self) -> None:
        with pytest.raises(HypervisorProtocol):
            wss(host="", asked_host="")

    @pytest.mark.parametrize("port", [-1, 65536, 10**9])
    def test_ports(self, port: int) -> None:
        with pytest.raises(HypervisorProtocol):
            wss(port=port)
        with pytest.raises(HypervisorProtocol):
            authd_endpoint(ticket(port=port), TicketRules())

    @pytest.mark.parametrize(
        "text",
        [
            "ws://esx/ticket/a",
            "https://esx/ticket/a",
            "esx/ticket/a",
            "//esx/ticket/a",
            "wss:///ticket/a",
            "wss:esx",
            "wss://esx",
            "wss://root@esx/ticket/a",
            "wss://root:pw@esx/ticket/a",
            "wss://@esx/ticket/a",
            "wss://esx:0/ticket/a",
            "wss://esx:65536/ticket/a",
            "wss://esx:-1/ticket/a",
            "wss://esx:4_3/ticket/a",
            "wss://esx:x/ticket/a",
            "wss://esx/ticket/a#f",
            "wss://esx/ticket/a\r\nHost: evil",
            "wss://esx/tic\tket/a",
            "wss://esx/\nticket/a",
            " wss://esx/ticket/a",
            "wss://esx/ticket/a b",
            "wss://esx/ticket/{secret}",
            'wss://esx/ticket/"',
            "wss://esx/ticket/é",
            "wss://[::1/ticket/a",
            "wss://[::1%25eth0]/ticket/a",
            "wss://es%78/ticket/a",
            "wss://ésx/ticket/a",
            "wss://esx/" + "a" * 2048,
        ],
    )
    def test_urls(self, text: str) -> None:
        with pytest.raises(HypervisorProtocol) as caught:
            url(text)
        assert text not in str(caught.value)
        assert caught.value.__context__ is None or caught.value.__suppress_context__

    @pytest.mark.parametrize("word", ["", "a b", "a\r\nPASS x", "a\0", "a" * 1025])
    def test_fields_of_authd(self, word: str) -> None:
        with pytest.raises(HypervisorProtocol):
            authd_endpoint(ticket(ticket=Secret(word)), TicketRules())
        with pytest.raises(HypervisorProtocol):
            authd_endpoint(ticket(cfg_file=word), TicketRules())


class TestCertificate:
    def test_sha256_first(self) -> None:
        both = ticket(
            cert_thumbprints=(("SHA-1", SHA1_COLONS), ("SHA-256", COLONS), ("SHA-512", "ef" * 64)),
            ssl_thumbprint=SHA1_COLONS,
        )
        assert webmks_endpoint(both, TicketRules(allow_sha1=True)).tls == PINNED

    @pytest.mark.parametrize("name", ["SHA-256", "SHA256", "sha-256", "sha256", "SHA_256", ""])
    @pytest.mark.parametrize("digest", [SHA256, SHA256.upper(), COLONS, COLONS.lower()])
    def test_names_and_forms(self, name: str, digest: str) -> None:
        assert wss(cert_thumbprints=((name, digest),)).tls == PINNED

    def test_the_certificate_itself(self) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert("esx1.lab")
        pems = [pem.bytes().decode() for pem in (leaf.cert_chain_pems[0], authority.cert_pem)]
        pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pems[0])).hexdigest()
        for pem in (pems[0], "\n".join(pems), pems[0].replace("\n", "\r\n")):
            assert wss(cert_thumbprints=(), certificate_pem=pem).tls == TlsPolicy(pin_sha256=pin)

    def test_sha1_only_by_leave_and_only_alone(self) -> None:
        alone = ticket(cert_thumbprints=(), ssl_thumbprint=SHA1_COLONS)
        assert webmks_endpoint(alone, TicketRules(allow_sha1=True)).tls == TlsPolicy(pin_sha1=SHA1)
        assert webmks_endpoint(alone, TicketRules()).tls == TlsPolicy(server_name="esx1.lab")

    def test_else_a_ca_and_the_name(self) -> None:
        nothing = ticket(cert_thumbprints=(("SHA-1", SHA1),))
        rules = TicketRules(ca_file=Path("/ca.pem"), allow_sha1=True)
        policy = TlsPolicy(ca_file=Path("/ca.pem"), server_name="esx1.lab")
        assert webmks_endpoint(nothing, rules).tls == policy
        assert authd_endpoint(nothing, rules).tls == policy

    @pytest.mark.parametrize("told", ["nothing", "SHA-256", "certificate's digest in SHA-1"])
    def test_the_operator_s_pin_alone(self, told: str) -> None:
        """Whatever the ticket says: who can change the ticket cannot change the pin."""
        says = {
            "nothing": {"cert_thumbprints": ()},
            "SHA-256": {"cert_thumbprints": (("SHA-256", "ef" * 32),)},
            "certificate's digest in SHA-1": {"cert_thumbprints": (), "ssl_thumbprint": SHA1},
        }[told]
        rules = TicketRules(
            host_pins={"esx1.lab": SHA256}, allow_sha1=True, host_map={"esx1.lab": "10.0.0.5"}
        )
        for endpoint in (
            webmks_endpoint(ticket(host="ESX1.lab", **says), rules),
            authd_endpoint(ticket(host="ESX1.lab", **says), rules),
        ):
            assert (endpoint.tls, endpoint.host) == (PINNED, "10.0.0.5")
        another = webmks_endpoint(ticket(host="esx2.lab", cert_thumbprints=()), rules)
        assert another.tls == TlsPolicy(server_name="esx2.lab")

    @pytest.mark.parametrize(
        "changes",
        [
            {"cert_thumbprints": (("SHA-256", "abcd"),)},
            {"cert_thumbprints": (("SHA-256", ""),)},
            {"cert_thumbprints": (("SHA-256", SHA1),)},
            {"cert_thumbprints": (("SHA-256", "zz" * 32),)},
            {"cert_thumbprints": (("SHA-256", SHA256), ("SHA-256", "ef" * 32))},
            {"certificate_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            {"certificate_pem": "no certificate"},
            {"certificate_pem": "é"},
            {"ssl_thumbprint": SHA256},
            {"ssl_thumbprint": "xx"},
        ],
    )
    def test_what_is_no_digest_is_no_reason_to_take_a_weaker_one(self, changes: dict[str, object]) -> None:
        broken = ticket(**{"cert_thumbprints": (), "ssl_thumbprint": SHA1, **changes})
        with pytest.raises(HypervisorProtocol):
            webmks_endpoint(broken, TicketRules(allow_sha1=True))


class TestRules:
    def test_host_map_moves_the_connection_and_not_the_name(self) -> None:
        rules = TicketRules(host_map={"esx1.lab": "10.0.0.5", "esx2.lab": "10.0.0.6"})
        nothing = {"cert_thumbprints": ()}
        for endpoint in (
            webmks_endpoint(ticket(host="ESX1.lab", **nothing), rules),
            webmks_endpoint(ticket(url=Secret("wss://esx1.lab/ticket/a"), **nothing), rules),
            authd_endpoint(ticket(**nothing), rules),
        ):
            assert endpoint.host == "10.0.0.5"
            assert (endpoint.tls.server_name or "").lower() == "esx1.lab"
        assert webmks_endpoint(ticket(host="esx3.lab"), rules).host == "esx3.lab"

    def test_networks_travel_with_the_endpoint(self) -> None:
        rules = TicketRules(allowed_networks=("10.0.0.0/8",))
        assert webmks_endpoint(ticket(), rules).allowed_networks == ("10.0.0.0/8",)
        assert authd_endpoint(ticket(), rules).allowed_networks == ("10.0.0.0/8",)


class TestAuthd:
    def test_where(self) -> None:
        endpoint = authd_endpoint(ticket(port=0, url=Secret("ws://ignored")), TicketRules(allow_sha1=True))
        assert endpoint == AuthdEndpoint(
            transport=Transport.TCP,
            host="esx1.lab",
            port=902,
            tls=PINNED,
            secret=Secret(ID),
            cfg_file=CFG,
            allow_sha1=True,
        )

    def test_asked_host(self) -> None:
        endpoint = authd_endpoint(ticket(host="", port=9902), TicketRules())
        assert (endpoint.host, endpoint.port) == ("vc.lab", 9902)

    def test_nothing_secret_in_repr(self) -> None:
        assert ID not in repr(authd_endpoint(ticket(), TicketRules()))
