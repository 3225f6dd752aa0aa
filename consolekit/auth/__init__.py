"""Auth: tokens, from the contract (``base``) to the stores. Knows no HTTP, no provider, no socket."""
