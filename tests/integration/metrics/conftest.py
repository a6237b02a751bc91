"""Fixtures for all tests of the metrics service."""

from tests.integration.metrics.queried_log import access, api, log
from tests.integration.metrics.retry_stage import place, processor, proxy, retrying, start_processor

__all__ = [
    "access", "api", "log",
    "place", "processor", "proxy", "retrying", "start_processor",
]  # fmt: skip
