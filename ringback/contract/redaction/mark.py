"""The mark of a hidden value."""

REDACTED = "[redacted by Ringback]"
"""Stands in the place of each hidden value."""
