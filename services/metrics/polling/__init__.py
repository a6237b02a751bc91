"""Readings in the background, for gauges and queue health."""
