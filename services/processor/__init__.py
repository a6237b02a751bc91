"""Attempt webhooks: receive them from the broker, run their handlers and record the results."""
