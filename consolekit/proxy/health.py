"""Proxy: probes and figures. Cheap, without side effects, for whatever name they are called by."""

from __future__ import annotations

import json

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from consolekit.http.handler import Handler
from consolekit.proxy.sessions import Sessions


class Healthz(Handler):
    """``/healthz``: the process lives and its loop turns."""

    any_host = True

    def get(self) -> None:
        """Say so."""
        self.finish({"status": "ok"})


class Readyz(Handler):
    """``/readyz``: new consoles may be sent here."""

    any_host = True

    def initialize(self, sessions: Sessions) -> None:
        """Take what the application wired."""
        self._sessions = sessions

    def get(self) -> None:
        """200, or 503 with what is not as it should be."""
        checks = {
            "accepting": not self._sessions.draining,
            "revocations": self._sessions.watching,
        }
        ready = all(checks.values())
        self.set_status(200 if ready else 503)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"status": "ready" if ready else "not ready", "checks": checks}))


class MetricsPage(Handler):
    """``/metrics``: Prometheus text."""

    any_host = True

    def initialize(self, registry: CollectorRegistry) -> None:
        """Take what the application wired."""
        self._registry = registry

    def get(self) -> None:
        """Every figure as of now."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(self._registry))
