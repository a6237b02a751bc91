"""Webhooks as Vapi sends them, with fictional people. For trying things out, tests and load."""

from ringback.samples.catalog import names, sample

__all__ = ["names", "sample"]
