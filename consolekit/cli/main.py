"""CLI: the program's root. Knows the commands by name; imports one when it is called."""

from __future__ import annotations

import click

from consolekit.__about__ import __version__
from consolekit.cli.frame import RootGroup

EPILOG = """\b
Exit codes:
  0    done
  1    it failed; standard error says why
  2    the command line or the configuration is wrong
  130  interrupted

\b
Begin here:
  consolekit demo             a console in your browser, nothing to set up
  consolekit config init      write a commented configuration
  consolekit serve            show the consoles of your hypervisors
"""

_HERE = "consolekit.cli"
_COMMANDS = {
    "demo": (f"{_HERE}.demo:demo", "Show a moving console in your browser; needs nothing else."),
    "serve": (f"{_HERE}.serve:serve", "Serve browsers, the API and metrics."),
    "proxy": (f"{_HERE}.serve:proxy", "Serve browsers only."),
    "api": (f"{_HERE}.serve:api", "Serve the API only."),
    "config": (f"{_HERE}.settings:config", "Write, check and show the configuration."),
    "key": (f"{_HERE}.keys:key", "Make API keys."),
    "providers": (f"{_HERE}.providers:providers", "See which hypervisors can be reached."),
    "new-provider": (f"{_HERE}.newprovider:new_provider", "Begin a provider's package, with its tests."),
    "console": (f"{_HERE}.consoles:console", "Make links to consoles, and open them."),
    "sessions": (f"{_HERE}.sessions:sessions", "See and end live consoles."),
    "token": (f"{_HERE}.tokens:token", "Make, check and take back tokens; keep the keys of sealed ones."),
    "schema": (f"{_HERE}.schema:schema", "Print the JSON Schema of console requests."),
    "web": (f"{_HERE}.viewer:web", "See whether the browser's viewer is there."),
    "completion": (f"{_HERE}.about:completion", "Print completion for bash, zsh or fish."),
    "version": (f"{_HERE}.about:version", "Print versions."),
}


@click.group(
    cls=RootGroup,
    lazy=_COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="consolekit", message="%(prog)s %(version)s")
def cli() -> None:
    """Remote consoles of virtual machines, in the browser.

    consolekit turns "show me this server's console" into a link that works in any browser, and carries the
    bytes between the browser and the hypervisor.
    """


def main() -> None:
    """Run the program; the entry point ``consolekit``."""
    cli(prog_name="consolekit")
