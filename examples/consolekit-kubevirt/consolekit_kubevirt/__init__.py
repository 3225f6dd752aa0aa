"""Consoles of KubeVirt virtual machines for consolekit: VNC and the serial line."""

from consolekit_kubevirt.provider import KubeVirtProvider

__all__ = ["KubeVirtProvider"]
