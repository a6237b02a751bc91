"""Fixtures for all tests of the metrics service."""

from tests.integration.metrics.queried_log import access, api, log
from tests.integration.metrics.retry_stage import place, processor, retrying, unconsumed
from tests.integration.processor.conftest import proxy, start

__all__ = [
    "access", "api", "log",
    "place", "processor", "proxy", "retrying", "start", "unconsumed",
]  # fmt: skip
