"""The REST API does what its OpenAPI document says, whatever schemathesis thinks of."""

import asyncio
from pathlib import Path

import pytest

from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from tests.integration.metrics.filled_service import OURS, filled_service
from tests.support.schemathesis_run import tried
from tests.support.tokens import bearer

CONFIG = """
[generation]
# PostgreSQL has no such character, so the API refuses it; JSON Schema cannot say so.
allow-x00 = false
database = "none"
deterministic = true

[parameters]
# A token is what an answer gave; one that is made up is refused.
"query.pageToken" = ""
# No time is after it: an end before the start is refused, and JSON Schema cannot say so.
"query.endTime" = "9999-12-31T23:59:59.999Z"

[[operations]]
include-operation-id = "GetDelivery"
parameters = {{ "path.jobId" = "{job_id}" }}

[[operations]]
# A webhook that is no dead letter is refused by 400, as FAILED_PRECONDITION is mapped.
include-operation-id = ["RetryDelivery", "DiscardDeadLetter", "RunDuplicate"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404"]

[[operations]]
# It never ends.
include-operation-id = "WatchQueueHealth"
enabled = false
"""


@pytest.mark.slow
async def test_it_does_what_it_says(
    broker: PrivateBroker, database: PrivateDatabase, tmp_path: Path
) -> None:
    """What it says it takes it takes, what it does not it refuses, and it never fails.

    For a service every value of every field at its bounds; for a tenant a few of each call.
    """
    whole = ("--phases=coverage,fuzzing", "--max-examples=10")
    pause = "operation-id=PauseProcessing"
    async with filled_service(broker, database, tmp_path) as service:

        async def run(authorization: str, *options: str) -> str:
            result = await asyncio.to_thread(
                tried,
                f"http://127.0.0.1:{service.process.rest_port}/openapi.json",
                tmp_path,
                CONFIG.format(job_id=service.completed),
                f"--header=Authorization:{authorization}",
                # A run of retries that waits, waits no longer.
                "--header=X-Request-Timeout:5",
                "--workers=2",
                *options,
            )
            assert result.returncode == 0, result.stdout + result.stderr
            return result.stdout

        for_service = await run(bearer(), f"--exclude-{pause}", *whole)
        for_tenant = await run(bearer("tenant", OURS), "--phases=fuzzing", "--max-examples=3")
        # At the end: retries wait while processing is paused.
        pausing = await run(bearer(), f"--include-{pause}", *whole)

    assert "12 passed" in for_service
    assert "1 passed" in pausing
    assert "13 passed" in for_tenant
