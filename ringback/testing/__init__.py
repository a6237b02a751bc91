"""Run a handler on a webhook in a test, without a broker, a database or a running Ringback.

    from ringback.testing import attempt, sample

    async def test_a_report_is_booked() -> None:
        result = await attempt(book, sample("end-of-call-report"))
        assert result.outcome == "completed"

This runs the processor's own code, so retries and dead letters are decided as in production. With
`database_url`, the attempt runs in that database (`pip install 'ringback[server]'`). The pytest
plugin has the fixtures `attempt` and `sample`, and one that gives each test a database.
"""

from ringback.samples import sample
from ringback.testing.attempts import (
    Attempted,
    attempt,
    attempt_sync,
    reset_destinations,
    started,
)
from ringback.testing.recorder import Effect

__all__ = [
    "Attempted",
    "Effect",
    "attempt",
    "attempt_sync",
    "reset_destinations",
    "sample",
    "started",
]
