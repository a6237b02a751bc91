"""The mark of a hidden value."""

REDACTED = "[redacted by Ringback]"
"""Replaces each hidden value."""
