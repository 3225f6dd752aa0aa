"""Providers, stream: serial and SPICE consoles, whose bytes pass as they are. Knows no HTTP and no socket."""
