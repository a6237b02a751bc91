"""Calls to URLs of others: which addresses are allowed, and when calls to a URL stop."""
