"""Providers, VNC: consoles of servers that speak RFB (RFC 6143). Knows no HTTP, no token, no socket."""
