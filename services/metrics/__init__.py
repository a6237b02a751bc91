"""Tells where the webhooks are: gauges for Prometheus, and answers for other services."""
