"""API: a token is redeemed for a program that will connect in our stead. Knows the kit; knows no HTTP."""

from __future__ import annotations

import logging

from consolekit.auth.base import AccessContext
from consolekit.core.errors import ConsoleKitError, PermitRefused
from consolekit.core.types import Action, Caller, Grant, Mode, Secret, Target
from consolekit.kit import ConsoleKit

_log = logging.getLogger(__name__)


async def redeem(kit: ConsoleKit, token: Secret, *, caller: Caller) -> tuple[Grant, Target]:
    """Use a token up, and name the place of its console with what opens it.

    Args:
        kit: Whose token it is.
        token: As a browser would show it.
        caller: Who asks; it must be one that may see secrets, or the token stays as it is.

    Raises:
        PermitRefused: the caller may not see secrets, a hook refused, or the token is for looking only.
        TokenRefused: it opens nothing.
        UnknownServer: the server is gone.
        ConsoleConflict: its state allows no console.
        ConsoleNotImplemented: its console cannot be reached from elsewhere.
        ConsoleUnavailable: it cannot be had now.
        StoreUnavailable: the token could not be looked up.
    """
    if not caller.see_secrets:
        raise PermitRefused(f"key {caller.name} may not see secrets")
    validator, grant = await kit.validators.redeem(token, AccessContext())
    outcome = "redeemed"
    try:
        return grant, await _target(kit, grant, caller)
    except ConsoleKitError as exc:
        outcome = exc.code
        raise
    finally:
        await validator.released(grant, outcome, resumable=False)


async def _target(kit: ConsoleKit, grant: Grant, caller: Caller) -> Target:
    request, name = grant.request, grant.provider
    if request.mode is not Mode.INTERACT:
        raise PermitRefused("a view-only console is shown by this gateway alone: it is what keeps it so")
    kit.hooks.permit(
        caller,
        Action.CONNECT_INFO,
        server_id=request.server_id,
        subject=request.subject,
        mode=Mode.INTERACT,
    )
    kit.check_params(grant)
    if grant.target is not None:
        return grant.target
    endpoint = await kit.ask(name, "open", lambda provider: provider.open(request))
    _log.info("console named", extra={"caller": caller.name, "provider": name, "grant_id": grant.id})
    return kit.registry.get(name).named(endpoint)
