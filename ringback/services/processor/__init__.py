"""Processes webhooks: receives them from the broker, runs their handlers, records the results."""
