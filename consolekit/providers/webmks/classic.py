"""Providers, WebMKS: what opens vCenter's own console page, as integrators knew it before proxies.

Pure. The page logs in to vCenter with a copy of our session: whoever has the session ticket may do what the
gateway's account may do, once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from consolekit.core.types import Secret
from consolekit.providers.vsphere import CloneInfo

HTTP_PORT = 7331
"""Where vCenter's console page was before vSphere 6.0, without TLS."""

HTTPS_PORT = 7343
"""The same with TLS."""

_NUMBERS = re.compile(r"(\d+)\.(\d+)")


def version_of(api_version: str) -> tuple[int, int]:
    """Major and minor of an API version such as ``8.0.3.0``; what cannot be read is taken for new."""
    found = _NUMBERS.match(api_version)
    return (int(found[1]), int(found[2])) if found else (99, 0)


def connect_info(info: CloneInfo, api_version: str, port: int) -> Mapping[str, object]:
    """The seven fields, and the page's URL for this version of vCenter.

    Args:
        info: A fresh login for one use, and what belongs to it.
        api_version: The vCenter's.
        port: ``HTTP_PORT`` or ``HTTPS_PORT``.

    Returns:
        ``host``, ``port``, ``vmId``, ``vmName``, ``vcFQDN``, ``sessionTicket``, ``thumbprint``, ``url``; the
        ticket and the URL, which holds it, as ``Secret``.
    """
    return {
        "host": info.host,
        "port": port,
        "vmId": info.moid,
        "vmName": info.name,
        "vcFQDN": info.fqdn,
        "sessionTicket": info.session_ticket,
        "thumbprint": info.thumbprint_sha1,
        "url": Secret(_url(info, version_of(api_version), port)),
    }


def _url(info: CloneInfo, version: tuple[int, int], port: int) -> str:
    host = f"[{info.host}]" if ":" in info.host else info.host
    query = {"vmId": info.moid, "vmName": info.name}
    if version < (6, 0):
        page = f"{'http' if port == HTTP_PORT else 'https'}://{host}:{port}/console/"
        query["host"] = info.fqdn
    else:
        old = f"https://{host}:9443/vsphere-client/webconsole.html"
        page = old if version < (6, 7) else f"https://{host}/ui/webconsole.html"
        query |= {"serverGuid": info.server_guid, "host": f"{info.fqdn}:443"}
    query |= {"sessionTicket": info.session_ticket.reveal(), "thumbprint": info.thumbprint_sha1}
    return f"{page}?{urlencode(query)}"
