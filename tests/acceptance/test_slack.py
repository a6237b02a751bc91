"""A webhook that fails permanently, and its message in Slack."""

import json
from pathlib import Path

import pytest

from tests.acceptance.whole import whole_ringback
from tests.support.eventually import eventually
from tests.support.local_slack import local_slack


async def test_people_hear_of_a_dead_letter(
    amqp_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the post to the message: its type, job, attempts, error, commands and trace; and nothing
    of its payload. All three services work with the rights of their own roles.
    """
    async with local_slack() as slack:
        monkeypatch.setenv("RINGBACK_SLACK_WEBHOOK_URL", slack.url)
        monkeypatch.setenv("RINGBACK_SLACK_BATCH_WINDOW_S", "0")
        monkeypatch.setenv("RINGBACK_TRACE_URL_TEMPLATE", "https://traces.example/{trace_id}")
        monkeypatch.setenv("RINGBACK_DASHBOARD_URL", "https://grafana.example/d/overview")
        async with whole_ringback(amqp_url, database_url, tmp_path) as whole:
            body = {"type": "ringback.demo", "failForGood": True, "customer": "Ada Lovelace"}
            job_id = await whole.accepted(json.dumps({"message": body}).encode())
            await eventually(lambda: slack.taken, deadline_s=20)
            trace_id = await whole.database.fetchval(
                "SELECT trace_id FROM webhook_delivery_attempts WHERE delivery_id = $1", job_id
            )

    [message] = slack.taken
    told = json.dumps(message)
    for word in (
        "`ringback.demo`",
        "`PermanentFailure`",
        "1 of 4",
        "The demo asked for a failure that no attempt can mend.",
        f"ringback dead retry {job_id}",
        f"POST /api/webhook-metrics/retry-failed/{job_id}",
        f"<https://traces.example/{trace_id}|Trace>",
        "<https://grafana.example/d/overview|Dashboard>",
    ):
        assert word in told
    assert "Ada" not in told
