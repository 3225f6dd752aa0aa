"""Config: looks at certificate and key files before anybody listens with them. Opens no port.

Private keys are read to see that they fit; nothing of them is kept or told.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from consolekit.config.model import Config
from consolekit.core.errors import Problem

SOON_DAYS = 14


def certificate_problems(config: Config) -> list[Problem]:
    """Certificates and keys that nobody can listen with."""
    found: list[Problem] = []
    for section, cert, key in _pairs(config):
        certificate = _read_certificate(cert, f"{section}.cert", found)
        private = _read_key(key or cert, f"{section}.key", found)
        if certificate and private and certificate.public_key() != private.public_key():
            found.append(Problem(f"{section}.key", "does not belong to the first certificate of cert"))
    return found


def expiry_problems(config: Config, now: float) -> tuple[list[Problem], list[Problem]]:
    """Certificates that browsers will refuse: those of today, and those of the coming two weeks."""
    today, soon = [], []
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    for section, cert, _ in _pairs(config):
        certificate = _read_certificate(cert, f"{section}.cert", [])
        if certificate is None:
            continue
        path, end = f"{section}.cert", certificate.not_valid_after_utc
        if end <= moment:
            today.append(Problem(path, f"has expired on {end:%Y-%m-%d}; put a new certificate there"))
        elif certificate.not_valid_before_utc > moment:
            start = certificate.not_valid_before_utc
            today.append(Problem(path, f"is not valid before {start:%Y-%m-%d %H:%M} UTC"))
        elif (end - moment).days < SOON_DAYS:
            soon.append(Problem(path, f"expires on {end:%Y-%m-%d}"))
    return today, soon


def expires_at(cert: Path) -> float | None:
    """When (epoch s) the first certificate of a file ends; None where there is none to be read."""
    certificate = _read_certificate(cert, "", [])
    return None if certificate is None else certificate.not_valid_after_utc.timestamp()


def _pairs(config: Config) -> Iterator[tuple[str, Path, Path | None]]:
    if config.proxy.cert:
        yield "proxy", config.proxy.cert, config.proxy.key
    if config.api.cert:
        yield "api", config.api.cert, config.api.key


def _read_certificate(file: Path, path: str, problems: list[Problem]) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())[0]
    except OSError as exc:
        problems.append(Problem(path, f"cannot be read: {exc.strerror}: {file}"))
    except ValueError:
        problems.append(Problem(path, f"holds no certificate in PEM form: {file}"))
    return None


def _read_key(file: Path, path: str, problems: list[Problem]) -> PrivateKeyTypes | None:
    try:
        return load_pem_private_key(file.read_bytes(), password=None)
    except OSError as exc:
        problems.append(Problem(path, f"cannot be read: {exc.strerror}: {file}"))
    except TypeError:  # how cryptography says that a password is needed
        problems.append(Problem(path, f"is encrypted; a service has nobody to ask for its password: {file}"))
    except (ValueError, UnsupportedAlgorithm):
        problems.append(Problem(path, f"holds no private key in PEM form: {file}"))
    return None
