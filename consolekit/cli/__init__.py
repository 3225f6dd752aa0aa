"""CLI: the command ``consolekit``. Knows every layer below; holds no rule of its own.

main       the root command, which imports a command when it is called
frame      what all commands share: --debug, exit codes, errors as people read them
options    the shared flags; output  tables, JSON, problems; logs  the log and its redaction
server     one process that serves
serve, demo, consoles, sessions, providers, schema, settings, keys, viewer, about   the commands
"""
