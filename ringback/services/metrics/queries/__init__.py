"""MetricsService: calls that only read."""
