"""Proxy: a certificate policy becomes an SSL context, and a pin is checked. The one place that does either.

Fails closed: with no pin the chain *and* the host name are verified; with a pin, the certificate is exactly
that one or nothing is sent. Anonymous TLS is only for endpoints whose operator allowed it by name.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import ssl
from collections.abc import Callable
from pathlib import Path

from consolekit.core.errors import CertificateRefused
from consolekit.core.types import TlsPolicy


def context_for(policy: TlsPolicy, *, anonymous: bool = False) -> ssl.SSLContext:
    """The client-side context of a policy; made once for each state of the policy's files.

    Raises:
        CertificateRefused: a file of the policy cannot be read or is not what it should be.
    """
    if anonymous:
        return _anonymous()
    try:
        return _verified(policy, _stamp(policy))
    except (OSError, ssl.SSLError) as exc:
        files = ", ".join(str(path) for path in _files(policy))
        raise CertificateRefused(f"cannot load the TLS files {files}: {exc}") from exc


def check_pin(policy: TlsPolicy, certificate: bytes | None) -> None:
    """Compare the peer's certificate (DER) with the pin, where there is one.

    Raises:
        CertificateRefused: it is another one, or there is none.
    """
    pin, digest = _pin(policy)
    if not pin:
        return
    expected = pin.replace(":", "").lower().encode()
    if not certificate or not hmac.compare_digest(digest(certificate).hexdigest().encode(), expected):
        raise CertificateRefused("the server's certificate is not the pinned one")


def _pin(policy: TlsPolicy) -> tuple[str | None, Callable[[bytes], hashlib._Hash]]:
    """The pin that counts, and its digest: SHA-1 only where there is nothing better."""
    if policy.pin_sha256:
        return policy.pin_sha256, hashlib.sha256
    return policy.pin_sha1, _sha1


def _sha1(certificate: bytes) -> hashlib._Hash:
    # to forge a pinned certificate takes a second preimage; what is broken of SHA-1 are collisions
    return hashlib.sha1(certificate, usedforsecurity=False)


def _files(policy: TlsPolicy) -> list[Path]:
    return [path for path in (policy.ca_file, policy.client_cert, policy.client_key) if path]


def _stamp(policy: TlsPolicy) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in _files(policy))


@functools.lru_cache(maxsize=256)
def _verified(policy: TlsPolicy, stamp: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=str(policy.ca_file) if policy.ca_file else None, cadata=policy.ca_data
    )
    if _pin(policy)[0]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the pin decides, in check_pin, before a byte is sent
    if policy.client_cert:
        context.load_cert_chain(policy.client_cert, policy.client_key)
    return context


@functools.cache
def _anonymous() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # TLS 1.3 has no anonymous suites
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context
