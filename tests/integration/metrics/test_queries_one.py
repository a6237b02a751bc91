"""One webhook with all its data, on a real database."""

import json
from typing import Any

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.metrics.v1 import delivery_pb2 as pb
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryRequest
from tests.integration.metrics.queried_log import OURS, LogRow, as_org, write
from tests.integration.migrations.log_calls import End, Webhook, bury, finish


async def test_a_retried_dead_letter_has_its_whole_history(
    api: Any, log: asyncpg.Connection
) -> None:
    """Every attempt with its trace, its event, its retry; and the retry links back."""
    webhook = Webhook(org_id=OURS, event_data='{"type": "hang", "n": 1}', call_id="c-9")
    for attempt in (1, 2):
        await finish(log, End(webhook, "failed", attempt, ("TimeoutError", f"try {attempt}")))
    await bury(log, webhook, attempt=2)
    new_id = new_job_id()
    await log.fetch(
        "SELECT * FROM retry_webhook($1, $2, 4, 'ann', 'service', 'fixed', NULL, '{}')",
        webhook.id,
        new_id,
    )

    found = await api.get_delivery(GetDeliveryRequest(job_id=str(webhook.id)), as_org(OURS))
    retry = await api.get_delivery(GetDeliveryRequest(job_id=str(new_id)), as_org(None))

    assert found.delivery.status == pb.DELIVERY_STATUS_DEAD_LETTER
    assert found.delivery.resolution == pb.RESOLUTION_RETRIED
    assert found.delivery.retried_as == str(new_id)
    assert json.loads(found.delivery.event_data) == {"type": "hang", "n": 1}
    assert [(a.attempt, a.outcome, a.error_message) for a in found.attempts] == [
        (1, pb.ATTEMPT_OUTCOME_FAILED, "try 1"),
        (2, pb.ATTEMPT_OUTCOME_FAILED, "try 2"),
    ]
    assert (found.attempts[0].trace_id, found.attempts[0].span_id) == ("t" * 32, "s" * 16)
    assert found.attempts[0].duration_ms == pytest.approx(250)
    assert found.retried_as.new_job_id == str(new_id)
    assert (found.retried_as.actor, found.retried_as.reason) == ("ann", "fixed")
    assert not found.HasField("retry_of")

    assert retry.delivery.status == pb.DELIVERY_STATUS_PENDING
    assert retry.delivery.retry_of == str(webhook.id)
    assert retry.retry_of.job_id == str(webhook.id)
    assert not retry.retry_of.HasField("published_at")
    assert not retry.attempts
    assert not retry.HasField("retried_as")


async def test_a_duplicate_that_was_run_names_the_first_webhook(
    api: Any, log: asyncpg.Connection
) -> None:
    """Both sides name it: the duplicate, and the webhook that ran it."""
    first = Webhook(org_id=OURS, dedup_key="k")
    copy = Webhook(org_id=OURS, dedup_key="k")
    await finish(log, End(first))
    await finish(log, End(copy))
    new_id = new_job_id()
    await log.fetch(
        "SELECT * FROM run_duplicate_webhook($1, $2, 4, 'ann', 'service', 'no copy', NULL, '{}')",
        copy.id,
        new_id,
    )

    found = await api.get_delivery(GetDeliveryRequest(job_id=str(copy.id)), as_org(OURS))
    run = await api.get_delivery(GetDeliveryRequest(job_id=str(new_id)), as_org(OURS))

    assert found.delivery.status == pb.DELIVERY_STATUS_DUPLICATE
    assert found.delivery.resolution == pb.RESOLUTION_RETRIED
    assert found.delivery.duplicate_of == found.retried_as.duplicate_of == str(first.id)
    assert (found.retried_as.new_job_id, found.retried_as.reason) == (str(new_id), "no copy")
    assert (run.retry_of.job_id, run.retry_of.duplicate_of) == (str(copy.id), str(first.id))


async def test_a_pending_webhook_without_its_payload_has_no_event(
    api: Any, log: asyncpg.Connection
) -> None:
    """Unknown values are absent: the times, the error, the event."""
    row = LogRow(status="pending", event={})
    await write(log, row)

    found = (await api.get_delivery(GetDeliveryRequest(job_id=str(row.id)), as_org(OURS))).delivery

    assert found.created_at.ToDatetime() == row.created_at.replace(tzinfo=None)
    fields = {descriptor.name for descriptor, _ in found.ListFields()}
    assert not fields & {
        "event_data", "last_attempt_at", "completed_at", "error_class", "call_id"
    }  # fmt: skip
