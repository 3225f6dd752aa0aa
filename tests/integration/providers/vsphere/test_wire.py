"""The certificate comes first: whatever is wrong with it, the other side sees no request and no password."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import vcfront
from vcenter import HOST, Simulator
from vcfront import Front, fronted, until_hung

from consolekit.core import errors
from consolekit.core.types import SystemClock, TlsPolicy
from consolekit.providers.vsphere.calls import Call
from consolekit.providers.vsphere.wire import Wire

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def digest(certificate: trustme.LeafCert, algorithm: str = "sha256") -> str:
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return hashlib.new(algorithm, der).hexdigest()


class TestCertificate:
    async def test_ca_and_name(self, sessions: Any, uuid: str) -> None:
        assert (await sessions().machine(uuid)).power == "poweredOn"

    @pytest.mark.parametrize("write", [str.lower, str.upper, lambda pin: bytes.fromhex(pin).hex(":")])
    async def test_a_pin_needs_neither_ca_nor_name(
        self, sessions: Any, sim: Simulator, uuid: str, stranger: trustme.CA, write: Any
    ) -> None:
        certificate = stranger.issue_cert("another.example.org", not_before=LONG_AGO)
        with fronted(sim.address, certificate) as front:
            policy = TlsPolicy(pin_sha256=write(digest(certificate)))
            assert (await sessions(port=front.port, tls=policy).machine(uuid)).power == "poweredOn"

    async def test_another_name_by_setting(self, sessions: Any, sim: Simulator, uuid: str) -> None:
        with fronted(sim.address, sim.authority.issue_cert("vc.example.org")) as front:
            policy = TlsPolicy(ca_file=sim.ca_file, server_name="vc.example.org")
            assert (await sessions(port=front.port, tls=policy).machine(uuid)).power == "poweredOn"

    @pytest.mark.parametrize("wrong", ["ca", "no ca", "name", "expired", "pin", "address"])
    async def test_what_is_wrong_with_it_is_found_before_anything_is_sent(
        self, sessions: Any, sim: Simulator, uuid: str, stranger: trustme.CA, wrong: str
    ) -> None:
        right = sim.authority.issue_cert(HOST)
        certificate = {
            "ca": stranger.issue_cert(HOST),
            "name": sim.authority.issue_cert("vc.example.org"),
            "expired": sim.authority.issue_cert(HOST, not_after=LONG_AGO),
        }.get(wrong, right)
        policy = TlsPolicy(
            ca_file=None if wrong in ("no ca", "pin") else sim.ca_file,
            pin_sha256=digest(sim.authority.issue_cert(HOST)) if wrong == "pin" else None,
        )
        host = "127.0.0.1" if wrong == "address" else HOST  # pyvmomi itself verifies nothing on loopback
        with fronted(sim.address, certificate) as front:
            with pytest.raises(errors.HypervisorNotTrusted):
                await sessions(host=host, port=front.port, tls=policy).ticket(uuid, "webmks")
            assert front.greetings >= 1
            assert front.calls == {}

    async def test_is_checked_again_on_every_connection(
        self, sessions: Any, sim: Simulator, front: Front, uuid: str
    ) -> None:
        """A session's cookie is worth as much as a password."""
        vsphere = sessions()
        await vsphere.machine(uuid)
        thief = trustme.CA().issue_cert(HOST)
        thief.configure_cert(front.context)
        front.when("AcquireTicket", vcfront.drop, times=1)  # so that it must connect anew
        with pytest.raises(errors.HypervisorNotTrusted):
            await vsphere.ticket(uuid, "webmks")
        assert front.calls["AcquireTicket"] == 1

    @pytest.mark.parametrize("content", [None, "", "no certificate"])
    async def test_a_ca_file_that_cannot_be_used(
        self, sessions: Any, front: Front, uuid: str, tmp_path: Path, content: str | None
    ) -> None:
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_text(content)
        with pytest.raises(errors.HypervisorNotTrusted, match=r"ca\.pem"):
            await sessions(tls=TlsPolicy(ca_file=file)).machine(uuid)
        assert front.greetings == 0


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener that nobody serves: connects, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


class TestConnection:
    async def test_case_44_nobody_listens(self, sessions: Any, silent: socket.socket, uuid: str) -> None:
        port = silent.getsockname()[1]
        silent.close()
        with pytest.raises(errors.HypervisorUnavailable, match="cannot be reached"):
            await sessions(port=port).machine(uuid)

    async def test_a_name_that_is_unknown(self, sessions: Any, uuid: str) -> None:
        with pytest.raises(errors.HypervisorUnavailable, match="unknown"):
            await sessions(host="no-such-host.invalid").machine(uuid)

    async def test_no_tls_handshake(self, sessions: Any, silent: socket.socket, uuid: str) -> None:
        with pytest.raises(errors.HypervisorTimeout):
            await sessions(port=silent.getsockname()[1], call_seconds=0.3).machine(uuid)

    @pytest.mark.parametrize(
        ("said", "error"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", errors.HypervisorNotTrusted),
            (b"", errors.HypervisorUnavailable),
        ],
    )
    async def test_no_tls_at_all(
        self, sessions: Any, silent: socket.socket, uuid: str, said: bytes, error: type[Exception]
    ) -> None:
        def serve() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.recv(100_000)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(error):
            await sessions(host="127.0.0.1", port=silent.getsockname()[1]).machine(uuid)
        thread.join()

    async def test_old_tls(self, sessions: Any, sim: Simulator, uuid: str) -> None:
        certificate = sim.authority.issue_cert(HOST)
        with fronted(sim.address, certificate) as front:
            front.context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1"):
                front.context.minimum_version = ssl.TLSVersion.TLSv1
            with pytest.warns(DeprecationWarning, match="TLSv1"):
                front.context.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((errors.HypervisorNotTrusted, errors.HypervisorUnavailable)):
                await sessions(port=front.port).machine(uuid)
            assert front.calls == {}

    async def test_a_connection_that_was_closed_meanwhile_costs_nothing(
        self, sessions: Any, front: Front, uuid: str
    ) -> None:
        vsphere = sessions()
        await vsphere.machine(uuid)
        front.when("AcquireTicket", vcfront.drop, times=1)  # on the connection that was kept
        assert (await vsphere.ticket(uuid, "webmks")).ticket
        assert (front.calls["AcquireTicket"], front.greetings) == (2, 2)

    async def test_one_that_is_closed_again_and_again_is_told(
        self, sessions: Any, front: Front, uuid: str
    ) -> None:
        vsphere = sessions()
        await vsphere.machine(uuid)
        front.when("AcquireTicket", vcfront.drop)
        with pytest.raises(errors.HypervisorUnavailable):
            await vsphere.ticket(uuid, "webmks")
        assert front.calls["AcquireTicket"] == 2

    async def test_half_an_answer(self, sessions: Any, front: Front, uuid: str) -> None:
        front.when("AcquireTicket", vcfront.half)
        with pytest.raises(errors.HypervisorUnavailable, match="broke off"):
            await sessions().ticket(uuid, "webmks")
        assert front.calls["AcquireTicket"] == 1  # it was answered: not asked twice

    @pytest.mark.parametrize("never", [vcfront.hang, vcfront.slowly])
    async def test_case_44_an_answer_that_never_ends(
        self, sessions: Any, front: Front, uuid: str, never: Any
    ) -> None:
        front.when("AcquireTicket", never)
        vsphere = sessions(call_seconds=2.0, workers=1)
        await vsphere.machine(uuid)
        with pytest.raises(errors.HypervisorTimeout):
            await vsphere.ticket(uuid, "webmks")
        await until_hung(front)
        # its only thread is free again, although the answer still drips
        assert (await vsphere.machine(uuid)).power == "poweredOn"

    async def test_unread_bytes_on_a_kept_connection_are_its_end(self, sim: Simulator, front: Front) -> None:
        wire = Wire(HOST, front.port, TlsPolicy(ca_file=sim.ca_file))
        path = "/sdk/vimServiceVersions.xml"

        def extra(handler: Any) -> None:
            body = b"<a/>"
            handler.say(200, "text/xml", body)
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

        front.when("versions", extra, times=1)
        call = Call(30, SystemClock())
        assert wire.request(call, "GET", path, headers={}).body == b"<a/>"
        second = wire.request(call, "GET", path, headers={})
        assert b"urn:vim25" in second.body
        wire.close()

    async def test_a_connection_in_use_is_not_kept_when_the_wire_is_closed(
        self, sim: Simulator, front: Front
    ) -> None:
        wire = Wire(HOST, front.port, TlsPolicy(ca_file=sim.ca_file))
        front.when("versions", lambda handler: (wire.close(), handler.forward())[1])  # type: ignore[func-returns-value]  # both, in order
        call = Call(30, SystemClock())
        assert wire.request(call, "GET", "/sdk/vimServiceVersions.xml", headers={}).status == 200
        assert wire._idle == []
