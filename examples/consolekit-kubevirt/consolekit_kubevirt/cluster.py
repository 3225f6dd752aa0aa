"""What the provider asks of a Kubernetes API server: objects, one GET each. Knows no console."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11

from consolekit import Secret
from consolekit.core.errors import (
    ConsoleUnavailable,
    HypervisorFault,
    HypervisorLoginFailed,
    HypervisorNotTrusted,
    HypervisorPermission,
    HypervisorProtocol,
    HypervisorTimeout,
    HypervisorUnavailable,
)

# etcd refuses objects beyond 1.5 MiB, so no honest answer is longer.
_LONGEST_ANSWER = 2 * 1024 * 1024
_LONGEST_TOKEN = 64 * 1024
_READ = 64 * 1024
# RFC 6750, 2.1. What cannot be a token is refused here: the HTTP library would quote it in its error.
_BEARER = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_TRY_LATER = {429, 502, 503, 504}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One API server and the service account that asks it.

    Attributes:
        server: ``https://host[:port][/prefix]``, as a kubeconfig names it.
        ca_file: PEM file of the cluster's CA.
        token_file: The account's token; read at every use, because the kubelet replaces it.
        deadline_seconds: For one whole answer.
    """

    server: str
    ca_file: Path
    token_file: Path
    deadline_seconds: float = 5.0

    @property
    def host(self) -> str:
        """Name or address, without brackets."""
        return urlsplit(self.server).hostname or ""

    @property
    def port(self) -> int:
        """TCP port.

        Raises:
            ValueError: it is none.
        """
        port = urlsplit(self.server).port
        return 443 if port is None else port

    @property
    def prefix(self) -> str:
        """What stands before ``/apis``, where a gateway serves several clusters; mostly empty."""
        return urlsplit(self.server).path.rstrip("/")

    async def authorization(self) -> Secret:
        """The value of the ``Authorization`` header as of now.

        Raises:
            HypervisorLoginFailed: the file cannot be read, or holds no token.
        """
        return Secret("Bearer " + (await asyncio.to_thread(self._token)).decode("ascii"))

    async def find(self, path: str) -> Mapping[str, Any] | None:
        """Get one object, or None where there is none of this name.

        Args:
            path: From ``/apis`` on.

        Raises:
            HypervisorLoginFailed: the token is missing, or the API server does not know it.
            HypervisorPermission: the account may not read this.
            HypervisorNotTrusted: the certificate is not signed by the cluster's CA; no token was sent.
            HypervisorTimeout: no whole answer within the deadline.
            HypervisorUnavailable: it cannot be reached, or answers that it is not ready.
            HypervisorProtocol: the answer is not one of a Kubernetes API server.
            HypervisorFault: any other failure that it reports.
        """
        try:
            async with asyncio.timeout(self.deadline_seconds):
                status, body = await self._get(path)
        except TimeoutError as exc:
            raise HypervisorTimeout(f"{self.host}: no answer within {self.deadline_seconds:g} s") from exc
        except ssl.SSLCertVerificationError as exc:
            raise HypervisorNotTrusted(f"{self.host}: {exc.verify_message}") from exc
        except OSError as exc:
            raise HypervisorUnavailable(f"{self.host}: cannot be reached: {exc.strerror}") from exc
        except h11.RemoteProtocolError as exc:
            raise HypervisorProtocol(f"{self.host}: the answer is not HTTP/1.1: {exc}") from exc
        return self._object(status, _json(body))

    async def _get(self, path: str) -> tuple[int, bytes]:
        authorization = await self.authorization()
        tls = await asyncio.to_thread(self._tls)
        request = h11.Request(
            method="GET",
            target=self.prefix + path,
            headers=[
                ("Host", urlsplit(self.server).netloc),
                ("Authorization", authorization.reveal()),
                ("Accept", "application/json"),
                ("Connection", "close"),
            ],
        )
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
        try:
            http = h11.Connection(h11.CLIENT)
            writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
            return await self._answer(http, reader)
        finally:
            # Cancelled or not, nothing is left open, and nobody waits for the other side's goodbye.
            writer.transport.abort()

    async def _answer(self, http: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        status, body = 0, bytearray()
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(_READ))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _LONGEST_ANSWER:
                    raise HypervisorProtocol(
                        f"{self.host}: the answer is longer than {_LONGEST_ANSWER} bytes"
                    )
        return status, bytes(body)

    # [errors]
    def _object(self, status: int, answer: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if status == 401:
            raise HypervisorLoginFailed(f"{self.host}: the API server does not know the token (401)")
        if status == 403:
            raise HypervisorPermission(f"{self.host}: the account may not read virtual machines (403)")
        if status in _TRY_LATER:
            raise HypervisorUnavailable(f"{self.host}: the API server answers {status}")
        if answer is None:
            raise HypervisorProtocol(f"{self.host}: the answer ({status}) is not JSON of Kubernetes")
        if status == 200:
            return answer
        # Without the object's name the 404 is about the whole kind: KubeVirt is not installed.
        if status == 404 and isinstance(answer.get("details"), Mapping) and "name" in answer["details"]:
            return None
        raise HypervisorFault(f"{self.host}: the API server answers {status}")

    # [end]
    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as exc:
            raise ConsoleUnavailable(
                f"the CA file {self.ca_file} cannot be used: {exc.strerror or 'not PEM'}"
            ) from exc

    def _token(self) -> bytes:
        try:
            with self.token_file.open("rb") as file:
                token = file.read(_LONGEST_TOKEN).strip()
        except OSError as exc:
            raise HypervisorLoginFailed(
                f"the token file {self.token_file} cannot be read: {exc.strerror}"
            ) from exc
        if not _BEARER.fullmatch(token):
            raise HypervisorLoginFailed(f"the token file {self.token_file} holds no bearer token")
        return token


def _json(body: bytes) -> Mapping[str, Any] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, Mapping) and "kind" in answer else None
