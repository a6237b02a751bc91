"""Logs, metrics, health checks and the HTTP server that serves them."""
