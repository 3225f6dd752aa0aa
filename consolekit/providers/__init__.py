"""Providers: one package or file per hypervisor or protocol. They never import each other, nor HTTP."""
