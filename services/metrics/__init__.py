"""Reports the state of webhooks: gauges for Prometheus, and an API for other services."""
