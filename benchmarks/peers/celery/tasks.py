"""Celery as its documentation recommends it for durable work on RabbitMQ.

Quorum queues, publisher confirms, acknowledgement after the task, one reserved task per process.
"""

import json
import os
from typing import Any

import psycopg
from celery import Celery, Task
from celery.signals import worker_process_init

_FAILING = "fa11"  # The benchmark's calls that fail twice.
_ORG = "00000000-0000-0000-0000-000000000001"
_INSERT = """
    INSERT INTO log (id, org_id, job_id, event_type, event_data, status, attempts, last_attempt_at)
    VALUES (%(id)s::uuid, %(org)s, %(id)s, %(event_type)s, %(body)s, 'processing', 1, now())
    ON CONFLICT (job_id) DO UPDATE SET attempts = log.attempts + 1, last_attempt_at = now()
"""
_UPDATE = "UPDATE log SET status = 'completed', completed_at = now() WHERE job_id = %s"
_ATTEMPT = "INSERT INTO attempts (call_id) VALUES (%s)"

app = Celery("benchmark", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_default_queue="celery",
    task_default_queue_type="quorum",
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
)
_connections: list[psycopg.Connection] = []


@worker_process_init.connect
def _connect(**_: Any) -> None:
    _connections.append(psycopg.connect(os.environ["DATABASE_URL"], autocommit=True))


@app.task(bind=True, max_retries=2)
def process(self: Task, body: dict[str, Any]) -> None:
    """Write the log before and after the handler."""
    [connection] = _connections
    message, job_id = body["message"], self.request.id
    row = {"id": job_id, "org": _ORG, "event_type": message["type"], "body": json.dumps(body)}
    connection.execute(_INSERT, row)
    call_id = message["call"]["id"]
    if call_id.startswith(_FAILING):
        connection.execute(_ATTEMPT, (call_id,))
        if self.request.retries < 2:
            raise self.retry(countdown=2 ** (self.request.retries + 1))
    connection.execute(_UPDATE, (job_id,))
