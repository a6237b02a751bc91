"""Webhooks as Vapi sends them, with fictional people. For trying things out, tests and load."""

from ringback.samples.catalog import call_names, names, sample

__all__ = ["call_names", "names", "sample"]
