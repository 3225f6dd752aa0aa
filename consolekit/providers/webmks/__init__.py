"""Providers, WebMKS: VMware's own consoles. Import ``provider``; nothing is imported for you here."""
