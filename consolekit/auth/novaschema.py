"""Auth: how a configuration writes Nova's validator, and how Nova answers it. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consolekit.core.schema import SERVER_ID, validator_of

CONFIG_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["auth"],
    "properties": {
        "auth": {
            "type": "object",
            "description": "The service user, who must be an administrator in Nova's eyes. Every key that "
            "keystoneauth1 knows may stand here, as text: those of `password` are `username`, "
            "`user_domain_name`, `project_name`, `project_domain_name`.",
            "required": ["auth_url"],
            "properties": {
                "auth_url": {"type": "string", "minLength": 1, "description": "Keystone, with `/v3`."},
                "auth_type": {
                    "type": "string",
                    "minLength": 1,
                    "default": "password",
                    "description": "keystoneauth1's plug-in: `password`, `v3applicationcredential`, ...",
                },
                "password": {"type": "string", "writeOnly": True, "description": "The password."},
                "password_file": {
                    "type": "string",
                    "format": "path",
                    "description": "A file with it instead; read at start.",
                },
            },
            "additionalProperties": {"type": "string"},
        },
        "vnc_provider": {
            "type": "string",
            "description": "The `[providers.NAME]` that takes Nova's VNC consoles; it needs an `adopt` "
            "table. Without one they are refused.",
        },
        "spice_provider": {
            "type": "string",
            "description": "The `[providers.NAME]` that takes Nova's SPICE consoles; it needs an `adopt` "
            "table. In `vnc_provider`'s stead: Nova's answer does not tell the types apart.",
        },
        "serial_provider": {
            "type": "string",
            "description": "The `[providers.NAME]` that takes Nova's serial consoles; it needs an `adopt` "
            "table. In `vnc_provider`'s stead: Nova's answer does not tell the types apart.",
        },
        "mks_provider": {
            "type": "string",
            "description": "The `[providers.NAME]` that takes Nova's consoles of VMware; it needs "
            "`adopt = true`. May stand beside any of the others. Without one they are refused.",
        },
        "ca_file": {
            "type": "string",
            "format": "path",
            "description": "PEM file of the CAs of Keystone and Nova. Default: the system's.",
        },
        "interface": {
            "enum": ["public", "internal", "admin"],
            "default": "internal",
            "description": "Which of Nova's addresses in Keystone's catalogue.",
        },
        "region": {"type": "string", "description": "Which region, where there are several."},
        "seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 60,
            "default": 5.0,
            "description": "How long a look-up may take.",
        },
        "session_seconds": {
            "type": "number",
            "minimum": 1,
            "default": 43200.0,
            "description": "How long a session may last.",
        },
    },
}
"""JSON Schema (2020-12) of a ``[validators.NAME]`` table with ``use = "nova"``."""

ANSWER = validator_of(
    {
        "type": "object",
        "required": ["console"],
        "properties": {
            "console": {
                "type": "object",
                "required": ["instance_uuid", "host", "port"],
                "properties": {
                    "instance_uuid": {**SERVER_ID, "maxLength": 64},
                    "host": {"type": "string", "minLength": 1, "maxLength": 255},
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "tls_port": {"type": ["integer", "null"]},
                    "internal_access_path": {"type": ["string", "null"], "maxLength": 8192},
                },
            }
        },
    }
)
"""What we need of "Show Console Connection Information", microversions 2.31 and 2.99; more may be there.

Nova's own schema calls ``internal_access_path`` a UUID; for VMware its value is JSON.
"""
