"""Webhooks that wait in PostgreSQL, and their way back to the broker."""
