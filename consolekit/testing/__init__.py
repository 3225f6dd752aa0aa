"""Testing: what third parties need to test their stores, providers and scripts. Knows no tornado.

Importing this needs neither pytest nor Hypothesis. ``consolekit.testing.token_machine`` needs Hypothesis.
"""

from consolekit.testing.clock import ManualClock
from consolekit.testing.examples import example_grant, example_hash, example_session
from consolekit.testing.handshakes import Arrives, check_handshake, check_refusal
from consolekit.testing.providers import ProviderContract
from consolekit.testing.tokens import TokenStoreContract
from consolekit.testing.validators import TokenValidatorContract
from consolekit.testing.viewerfilters import Said, check_viewer_filter

__all__ = [
    "Arrives",
    "ManualClock",
    "ProviderContract",
    "Said",
    "TokenStoreContract",
    "TokenValidatorContract",
    "check_handshake",
    "check_refusal",
    "check_viewer_filter",
    "example_grant",
    "example_hash",
    "example_session",
]
