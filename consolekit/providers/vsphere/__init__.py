"""Providers, vSphere: one shared session with each vCenter or ESXi host, for all VMware consoles.

Knows the vSphere API; knows no console protocol, no browser and no HTTP of ours. Needs pyvmomi only when
a session is made: ``pip install 'consolekit[vmware]'``.
"""

from consolekit.providers.vsphere.hosts import (
    HOST_PROPERTIES,
    HostRules,
    canonical_host,
    host_rules_from_config,
    name_problems,
)
from consolekit.providers.vsphere.results import CloneInfo, Machine, Ticket, VncSettings
from consolekit.providers.vsphere.session import VSphere, use_vsphere
from consolekit.providers.vsphere.settings import (
    VSPHERE_SCHEMA,
    FindBy,
    VSphereSettings,
    settings_from_config,
)

__all__ = [
    "HOST_PROPERTIES",
    "VSPHERE_SCHEMA",
    "CloneInfo",
    "FindBy",
    "HostRules",
    "Machine",
    "Ticket",
    "VSphere",
    "VSphereSettings",
    "VncSettings",
    "canonical_host",
    "host_rules_from_config",
    "name_problems",
    "settings_from_config",
    "use_vsphere",
]
