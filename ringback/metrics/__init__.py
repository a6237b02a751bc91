"""The metrics API for those who call it: the contract's generated code, and a client over it."""
