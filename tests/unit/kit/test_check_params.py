"""kit: parameters of grants that others have made are looked at before a provider gets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from consolesite import SERIAL, make_site

from consolekit.core.errors import TokenRefused, UnknownServer
from consolekit.core.types import ConsoleRequest, Grant, Target

TAKEN: Mapping[str, Any] = {"port": 2}


def grant_of(params: Mapping[str, Any], provider: str) -> Grant:
    request = ConsoleRequest(key=SERIAL, server_id="web-1", subject="ann", params=params)
    times = {"issued_at": 1.0, "expires_at": 2.0, "session_seconds": 3.0}
    return Grant(id="g", request=request, provider=provider, **times)


def test_params() -> None:
    kit = make_site().kit
    name = next(name for name, provider in kit.registry if SERIAL in provider.keys)
    kit.check_params(grant_of(TAKEN, name))
    for wrong in ({"port": "s3cret"}, {"s3cret key": 1}):
        with pytest.raises(TokenRefused, match="does not take it") as caught:
            kit.check_params(grant_of(wrong, name))
        assert "s3cret" not in str(caught.value)
        named = attrs.evolve(grant_of(wrong, name), target=Target(host="h", port=1))
        with pytest.raises(TokenRefused):
            kit.check_params(named)
    kit.check_params(attrs.evolve(grant_of({}, name), target=Target(host="h", port=1)))
    with pytest.raises(UnknownServer):
        kit.check_params(grant_of({}, "gone"))
