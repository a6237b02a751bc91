"""Durable storage: the broker first, then the local spool."""
