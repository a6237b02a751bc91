"""The metrics service: the metrics API (gRPC and REST), gauges for Prometheus, Slack alerts."""
