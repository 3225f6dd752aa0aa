"""Testing: the contract kit for provider and store authors, and the demo's RFB server. Ships in the wheel."""
