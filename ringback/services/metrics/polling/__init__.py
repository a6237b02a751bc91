"""Reads the queues and the log in the background, for gauges and queue health."""
