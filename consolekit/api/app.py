"""API: routes and settings. Knows tornado and the operations; opens no port, reads no file of an operator."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from tornado.routing import URLSpec
from tornado.web import Application

from consolekit.api import handlers, nova, policy
from consolekit.api.callers import Callers
from consolekit.api.description import Description
from consolekit.api.handler import Api, ApiHandler, NotFound
from consolekit.core.networks import NOWHERE, Networks
from consolekit.http.accesslog import log_request
from consolekit.kit import ConsoleKit

ROUTES: Mapping[str, type[ApiHandler]] = {
    "/servers/{server_id}/console": handlers.ServerConsole,
    "/servers/{server_id}/consoles": handlers.ServerConsoles,
    "/servers/{server_id}/connect-info": handlers.ConnectInfo,
    "/grants/{grant_id}": handlers.OneGrant,
    "/sessions": handlers.Sessions,
    "/sessions/{session_id}": handlers.OneSession,
    "/v2.1/servers/{server_id}/remote-consoles": nova.NovaRemoteConsoles,
    "/v2.1/os-console-auth-tokens/{token}": nova.NovaAuthTokens,
    "/openapi.yaml": handlers.OpenApiYaml,
    "/openapi.json": handlers.OpenApiJson,
    "/schema": handlers.Schema,
}
"""Every path, as OpenAPI writes it. A parameter may be anything without a slash, even nothing: the schema
decides."""

_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?")


def make_api(
    kit: ConsoleKit,
    *,
    callers: Callers,
    hosts: Collection[str],
    prefix: str = "",
    trusted_proxies: Networks = NOWHERE,
) -> Application:
    """The REST API of a kit, for any tornado HTTP server.

    The keys' patterns become a ``consolekit_permit`` hook of the kit, once.

    Args:
        kit: What does the work.
        callers: Who may call.
        hosts: Values of ``Host`` that are answered: lower case, with the port where it is not the default.
        prefix: A path in front of every route: ``/consoles``.
        trusted_proxies: Networks of proxies whose ``X-Forwarded-For`` says who the caller is.

    Raises:
        ValueError: nobody is asked for a key, and a host is not loopback: a page of any site could rebind its
            name to it; or the prefix is not a path.
    """
    foreign = sorted(host for host in hosts if not _LOOPBACK.fullmatch(host))
    if callers.is_anonymous and foreign:
        raise ValueError(f"an API without keys answers to loopback names only, not to {', '.join(foreign)}")
    if prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", prefix):
        raise ValueError("prefix must be a path such as /consoles, without a slash at its end")
    policy.enforce(kit.hooks)
    description = Description(kit.schema, anonymous=callers.is_anonymous)
    api = {"api": Api(kit=kit, callers=callers, description=description)}
    return Application(
        [URLSpec(_pattern(prefix + path), handler, api) for path, handler in ROUTES.items()],
        default_handler_class=NotFound,
        default_handler_args=api,
        log_function=log_request,
        hosts=frozenset(hosts),
        trusted_proxies=trusted_proxies,
    )


def _pattern(path: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "([^/]*)", re.escape(path)) + "$"
