"""A forward's attempts against a receiver on loopback."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Self

import orjson
import pytest
import standardwebhooks

from ringback.contract.identity import new_job_id
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.outgoing import Destination
from ringback.outgoing.registry import Destinations
from ringback.runtime.endpoints.forwards import Forward, ForwardTable
from ringback.runtime.outgoing.breaker import BreakerState
from ringback.runtime.outgoing.client import OutgoingClient
from ringback.runtime.outgoing.signature import signing_key
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.result import AttemptResult
from ringback.services.processor.builtin.forward import Forwards
from tests.support.answering_backend import Backend, backend
from tests.unit.processor.events import ENVELOPE, JOB
from tests.unit.processor.fakes import FakeLog
from tests.unit.processor.test_attempts import attempts, verdict

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
RECEIVED_AS = new_job_id()
BODY = b'{ "message":{"type":"hang", "n": 1e2, "name":"\\u0061\xc3\xa9"}}\n'
LOOPBACK = (ip_network("127.0.0.0/8"),)


def forward_to(url: str) -> Forward:
    return Forward(
        endpoint_id="default",
        name="crm",
        url=url,
        event_types=("*",),
        secrets=SECRETS,
        timeout_s=0.5 if url.endswith(("/hang", "/slow-head")) else 60,
        schedule=None,
        networks=LOOPBACK,
        permanent_statuses=frozenset({410}),
        concurrency=4,
        keys=tuple(map(signing_key, SECRETS)),
    )


@dataclass
class Forwarding:
    receiver: Backend
    forwards: Forwards
    log: FakeLog

    async def attempt(
        self, path: str = "/ok", attempt: int = 1, forward: Forward | None = None
    ) -> None:
        """Make an attempt to send a webhook to a path of the receiver."""
        self.forwards.table.replace((forward or forward_to(self.receiver.url(path)),))
        headers = replace(ENVELOPE, dedup_key=None, forward="crm", forward_of=RECEIVED_AS).headers()
        made = attempts(self.log, forwards=self.forwards)
        await verdict(made, body=BODY, headers=headers, routing_key=f"attempt.{attempt}")

    def ended(self) -> tuple[AttemptContext, AttemptResult]:
        return self.log.finished[-1]


@asynccontextmanager
async def forwarding() -> AsyncGenerator[Forwarding]:
    forwards = Forwards(ForwardTable(), DEFAULT_REDACTION, declared=Destinations())
    async with backend() as receiver, forwards.running():
        yield Forwarding(receiver, forwards, FakeLog())


@pytest.fixture(name="sent")
async def _sent() -> AsyncGenerator[Forwarding]:
    async with forwarding() as started:
        yield started


def headers_of(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def test_the_receiver_gets_the_exact_bytes_signed_with_each_secret(sent: Forwarding) -> None:
    """In each attempt under the id of the webhook that a gateway received."""
    await sent.attempt()
    await sent.attempt(attempt=2)

    assert sent.receiver.bodies == [BODY, BODY]
    for head in sent.receiver.heads:
        headers = headers_of(head)
        for secret in SECRETS:
            standardwebhooks.Webhook(secret).verify(BODY, headers, json_parse=False)
        assert headers["webhook-id"] == str(RECEIVED_AS)
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == "ringback"
        assert headers["traceparent"].split("-")[1] == ENVELOPE.trace.trace_id
    assert {result.outcome for _, result in sent.log.finished} == {AttemptOutcome.COMPLETED}


@pytest.mark.parametrize(
    ("path", "outcome", "error_class", "status"),
    [
        ("/201", AttemptOutcome.COMPLETED, None, 201),
        ("/slow-body", AttemptOutcome.COMPLETED, None, 200),
        ("/endless", AttemptOutcome.COMPLETED, None, 200),
        ("/500", AttemptOutcome.FAILED, "http_500", 500),
        ("/429", AttemptOutcome.FAILED, "http_429", 429),
        ("/410", AttemptOutcome.PERMANENT, "http_410", 410),
        ("/redirect", AttemptOutcome.FAILED, "http_302", 302),
        ("/hang", AttemptOutcome.FAILED, "no_answer", None),
        ("/slow-head", AttemptOutcome.FAILED, "no_answer", None),
        ("/reset", AttemptOutcome.FAILED, "no_answer", None),
        ("/close", AttemptOutcome.FAILED, "no_answer", None),
        ("/not-http", AttemptOutcome.FAILED, "no_answer", None),
    ],
)
async def test_what_the_receiver_does_decides(
    sent: Forwarding,
    path: str,
    outcome: AttemptOutcome,
    error_class: str | None,
    status: int | None,
) -> None:
    await sent.attempt(path)

    context, result = sent.ended()
    assert (result.outcome, result.error_class) == (outcome, error_class)
    answer = None if context.answer is None else orjson.loads(context.answer)
    assert (answer and answer["status"]) == status
    assert len(sent.receiver.heads) == 1


async def test_an_overloaded_receiver_uses_no_attempt(sent: Forwarding) -> None:
    """`Retry-After` says 60 s; the schedule of 2 and 4 s bounds that."""
    await sent.attempt("/503")

    assert sent.log.finished == []
    [(wait, _)] = sent.log.held
    assert (wait.reason, wait.destination, wait.delay_ms) == (
        WaitReason.DESTINATION,
        "forward.default.crm",
        4000,
    )


async def test_an_open_breaker_uses_no_attempt(sent: Forwarding) -> None:
    sent.forwards.destination(forward_to("https://a.example/")).breaker.force(BreakerState.OPEN)

    await sent.attempt()

    assert sent.receiver.heads == []
    [(wait, _)] = sent.log.held
    assert wait.reason is WaitReason.DESTINATION
    assert wait.delay_ms is not None
    assert wait.delay_ms >= 1000


async def test_a_failure_while_the_breaker_is_open_uses_no_attempt(sent: Forwarding) -> None:
    """The fifth failure opens it."""
    for _ in range(5):
        await sent.attempt("/500")

    assert len(sent.log.finished) == 4
    [(wait, _)] = sent.log.held
    assert wait.reason is WaitReason.DESTINATION
    assert (wait.failure and wait.failure.error_class) == "http_500"
    destination = sent.forwards.destination(forward_to(sent.receiver.url()))
    assert isinstance(destination, Destination)
    assert destination.last_error == "HTTP 500"


async def test_a_permanent_answer_ends_it_also_while_the_breaker_is_open(
    sent: Forwarding,
) -> None:
    forward = replace(forward_to(sent.receiver.url("/429")), permanent_statuses=frozenset({429}))
    for _ in range(5):
        await sent.attempt(forward=forward)

    outcomes = [result.outcome for _, result in sent.log.finished]
    assert outcomes == [AttemptOutcome.PERMANENT] * 5


async def test_a_webhook_of_a_removed_forward_is_tried_again_for_minutes(sent: Forwarding) -> None:
    """A changed file does not reach all processors at once."""
    headers = replace(ENVELOPE, forward="gone", forward_of=RECEIVED_AS).headers()
    await verdict(attempts(sent.log, forwards=sent.forwards), body=BODY, headers=headers)

    _, result = sent.ended()
    assert result.error_class == "forward_removed"
    assert (result.wait and result.wait.reason) is WaitReason.RETRY
    assert str(result.schedule) == "30s,1m,5m"


async def test_a_private_address_is_refused_unless_declared(sent: Forwarding) -> None:
    table = sent.forwards.table
    forward = replace(forward_to(sent.receiver.url()), networks=(ip_network("10.0.0.0/8"),))
    table.replace((forward,))
    headers = replace(ENVELOPE, forward="crm", forward_of=JOB).headers()

    await verdict(attempts(sent.log, forwards=sent.forwards), body=BODY, headers=headers)

    _, result = sent.ended()
    assert result.error_class == "address_not_allowed"
    assert sent.receiver.heads == []


async def test_a_client_that_did_not_start_is_not_used(sent: Forwarding) -> None:
    """The next attempt starts another one."""
    clients = iter((BrokenClient(), OutgoingClient(LOOPBACK)))
    forwards = Forwards(
        ForwardTable(),
        DEFAULT_REDACTION,
        declared=Destinations(),
        new_client=lambda _: next(clients),
    )
    async with forwards.running():
        broken = replace(sent, forwards=forwards)
        await broken.attempt()
        await broken.attempt(attempt=2)

    assert len(sent.receiver.heads) == 1


class BrokenClient(OutgoingClient):
    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self]:
        raise OSError("No file descriptors are left.")
        yield self


@pytest.mark.parametrize(
    ("endpoint_id", "name"),
    [("acme", "crm"), ("Acme~1", "crm"), ("a" * 64, "c" * 32), ("b" * 64, "c" * 32)],
)
def test_every_forward_has_a_name_among_the_destinations(endpoint_id: str, name: str) -> None:
    forward = replace(forward_to("https://a.example/"), endpoint_id=endpoint_id, name=name)

    made = Forwards(ForwardTable(), DEFAULT_REDACTION, declared=Destinations())

    assert made.destination(forward).max_in_flight == 4
    assert Destinations().declare(forward.destination).name == forward.destination


async def test_a_forward_can_be_stopped_before_its_first_use() -> None:
    """Those of the start, and those of a changed file."""
    first = forward_to("https://a.example/")
    second = replace(first, name="billing")
    declared = Destinations()
    forwards = Forwards(ForwardTable([first]), DEFAULT_REDACTION, declared=declared)

    async with forwards.running():
        at_start = [one.name for one in declared]
        changed = forwards.replace((first, second))

    assert (at_start, changed) == ([first.destination], ["default"])
    assert [one.name for one in declared] == [first.destination, second.destination]


def test_more_forwards_than_metrics_have_labels_for_still_have_breakers() -> None:
    made = Forwards(ForwardTable(), DEFAULT_REDACTION, declared=Destinations())
    forward = forward_to("https://a.example/")

    found = {made.destination(replace(forward, name=f"f{number}")) for number in range(300)}

    assert len(found) == 300
