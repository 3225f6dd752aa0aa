"""Certificate policy: what a context demands, and the pin."""

import hashlib
import ssl

import pytest
import trustme

from consolekit.core.errors import CertificateRefused
from consolekit.core.types import TlsPolicy
from consolekit.proxy.tls import check_pin, context_for


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


def test_without_a_pin_chain_and_name_are_demanded(ca_file):
    context = context_for(TlsPolicy(ca_file=ca_file))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_a_context_is_made_once_and_again_when_its_file_changes(ca_file):
    policy = TlsPolicy(ca_file=ca_file)
    first = context_for(policy)
    assert context_for(policy) is first
    trustme.CA().cert_pem.write_to_path(str(ca_file))
    stat = ca_file.stat()
    import os

    os.utime(ca_file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert context_for(policy) is not first


def test_missing_or_wrong_files_are_named_and_refused(tmp_path):
    missing = tmp_path / "missing.pem"
    with pytest.raises(CertificateRefused, match=r"missing\.pem"):
        context_for(TlsPolicy(ca_file=missing))
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(CertificateRefused, match=r"wrong\.pem"):
        context_for(TlsPolicy(ca_file=wrong))


def test_anonymous_tls_has_no_certificates_and_no_tls_13():
    context = context_for(TlsPolicy(), anonymous=True)
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2
    assert any("ADH" in cipher["name"] or "AECDH" in cipher["name"] for cipher in context.get_ciphers())


def test_a_pin_accepts_exactly_its_certificate_however_it_is_written():
    certificate = b"some certificate"
    digest = hashlib.sha256(certificate).hexdigest()
    pairs = ":".join(digest[i : i + 2] for i in range(0, 64, 2)).upper()
    for pin in (digest, digest.upper(), pairs):
        check_pin(TlsPolicy(pin_sha256=pin), certificate)
    check_pin(TlsPolicy(), None)


@pytest.mark.parametrize("certificate", [b"another", b"", None])
def test_a_pin_refuses_any_other_certificate(certificate):
    pin = hashlib.sha256(b"some certificate").hexdigest()
    with pytest.raises(CertificateRefused, match="pinned"):
        check_pin(TlsPolicy(pin_sha256=pin), certificate)


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_a_pin_of_either_kind_decides_instead_of_chain_and_name(kind):
    digest = hashlib.new(kind, b"c").hexdigest()
    policy = TlsPolicy(**{f"pin_{kind}": ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))})
    assert context_for(policy).verify_mode is ssl.CERT_NONE
    check_pin(policy, b"c")
    with pytest.raises(CertificateRefused, match="pinned"):
        check_pin(policy, b"another")


def test_sha1_counts_only_where_there_is_no_sha256():
    right, wrong = hashlib.sha1(b"c").hexdigest(), hashlib.sha256(b"another").hexdigest()
    with pytest.raises(CertificateRefused):
        check_pin(TlsPolicy(pin_sha1=right, pin_sha256=wrong), b"c")
    with pytest.raises(CertificateRefused):
        check_pin(TlsPolicy(pin_sha256=right), b"c")


@pytest.mark.parametrize("pin", ["::", "é" * 40, "0" * 39, "no digest"])
@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_what_is_no_pin_fits_no_certificate(kind, pin):
    with pytest.raises(CertificateRefused):
        check_pin(TlsPolicy(**{f"pin_{kind}": pin}), b"c")


def test_a_pin_of_one_flipped_bit_refuses():
    digest = hashlib.sha256(b"c").hexdigest()
    flipped = f"{int(digest, 16) ^ 1:064x}"
    with pytest.raises(CertificateRefused):
        check_pin(TlsPolicy(pin_sha256=flipped), b"c")
