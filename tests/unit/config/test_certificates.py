"""config.certificates: every way in which files of TLS can be wrong, without their keys in any text."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from consolekit.config.certificates import certificate_problems, expiry_problems
from consolekit.config.model import ApiConfig, Config, ProxyConfig

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        how = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def cert_pem(key: ec.EllipticCurvePrivateKey, start: datetime.datetime, end: datetime.datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "consoles.example.org")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


class Files:
    """A certificate and its key, right until somebody spoils them."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key, self.private = folder / "cert.pem", folder / "key.pem", make_key()
        self.key.write_bytes(key_pem(self.private))
        self.lasts(NOW - DAY, NOW + 90 * DAY)

    def lasts(self, start: datetime.datetime, end: datetime.datetime) -> None:
        self.cert.write_bytes(cert_pem(self.private, start, end))

    def problems(self) -> list[str]:
        config = Config(proxy=ProxyConfig(cert=self.cert, key=self.key))
        return [str(problem) for problem in certificate_problems(config)]

    def expiry(self) -> tuple[list[str], list[str]]:
        today, soon = expiry_problems(Config(api=ApiConfig(cert=self.cert)), NOW.timestamp())
        return [str(p) for p in today], [str(p) for p in soon]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_right_files(files: Files) -> None:
    assert files.problems() == []
    assert files.expiry() == ([], [])


def test_no_files_no_problems() -> None:
    assert certificate_problems(Config()) == []
    assert expiry_problems(Config(), 0.0) == ([], [])


def test_both_in_one_file(files: Files) -> None:
    files.cert.write_bytes(files.cert.read_bytes() + files.key.read_bytes())
    assert certificate_problems(Config(proxy=ProxyConfig(cert=files.cert))) == []


def test_missing_files(files: Files) -> None:
    files.cert.unlink()
    files.key.unlink()
    assert files.problems() == [
        f"proxy.cert: cannot be read: No such file or directory: {files.cert}",
        f"proxy.key: cannot be read: No such file or directory: {files.key}",
    ]


def test_files_that_hold_something_else(files: Files) -> None:
    files.cert.write_text("s3cret")
    files.key.write_text("s3cret")
    found = files.problems()
    assert "holds no certificate in PEM form" in found[0]
    assert "holds no private key in PEM form" in found[1]
    assert "s3cret" not in str(found)


def test_a_key_of_another_certificate(files: Files) -> None:
    files.key.write_bytes(key_pem(make_key()))
    assert files.problems() == ["proxy.key: does not belong to the first certificate of cert"]


def test_an_encrypted_key(files: Files) -> None:
    files.key.write_bytes(key_pem(files.private, b"s3cret"))
    assert "is encrypted; a service has nobody to ask" in files.problems()[0]


def test_expired(files: Files) -> None:
    files.lasts(NOW - 9 * DAY, NOW)
    assert files.expiry() == (["api.cert: has expired on 2026-06-01; put a new certificate there"], [])


def test_not_valid_yet(files: Files) -> None:
    files.lasts(NOW + DAY, NOW + 9 * DAY)
    assert files.expiry() == (["api.cert: is not valid before 2026-06-02 00:00 UTC"], [])


def test_soon(files: Files) -> None:
    files.lasts(NOW - DAY, NOW + 13 * DAY)
    assert files.expiry() == ([], ["api.cert: expires on 2026-06-14"])


def test_dates_of_files_that_cannot_be_read_are_not_told_twice(files: Files) -> None:
    files.cert.unlink()
    assert files.expiry() == ([], [])
