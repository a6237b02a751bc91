"""What the handler accepts, and what it answers when a webhook cannot be stored."""

import json
from uuid import UUID

import pytest

from ringback.services.gateway.storage.org_rate import STICKY_S
from ringback.services.gateway.storage.result import PublishOutcome
from tests.support.gateway_client import DEFAULT_ORG, PATH, SECRET, assert_problem
from tests.unit.gateway.serving import HANG, START, ServedGateway, serving

ORG = "5f0b1c9e-3d3a-4f55-9b0b-6f4a1f3f0c11"
OLD, NEW = "the old secret of twenty", "the new secret of twenty"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"message": {"type": "never.heard.of"}}', id="unknown type"),
        pytest.param(b'{"type": "hang"}', id="older format"),
        pytest.param(
            b'{"message": {"type": "transcript[transcriptType=\\"final\\"]", "call": null}}',
            id="brackets in the type",
        ),
        pytest.param(b'{"message": "a text", "type": "hang"}', id="message is not an object"),
    ],
)
async def test_every_format_in_use_is_accepted(gateway: ServedGateway, body: bytes) -> None:
    """The broker gets the body unchanged, under the job id of the response."""
    answer = await gateway.send(body)

    envelope, stored = gateway.take()
    assert answer.status == 200
    assert (str(envelope.job_id), stored) == (answer.body["jobId"], body)


async def test_an_org_above_its_rate_changes_its_queue_for_a_while() -> None:
    """It is accepted all the same. Questions, and other orgs, are not counted with it."""
    now_s = 1_000.0
    endpoints = {"loud": {"org_id": ORG}, "calm": {"org_id": DEFAULT_ORG}}
    async with serving(
        lambda: now_s,
        endpoints=json.dumps(endpoints),
        org_rate_per_s="2",
        vapi_secret="",
        allow_unauthenticated="true",
    ) as gateway:

        async def is_bulk(endpoint: str) -> bool:
            assert (await gateway.send(HANG, path=f"{PATH}/{endpoint}")).status == 200
            return gateway.take()[0].is_bulk

        assert [await is_bulk("loud") for _ in range(4)] == [False, False, True, True]
        assert not await is_bulk("calm")
        now_s += STICKY_S - 1
        assert await is_bulk("loud")
        now_s += 1
        assert not await is_bulk("loud")
        assert gateway.metric("webhook_bulk_total") == 3


@pytest.mark.parametrize(
    ("settings", "path", "statuses"),
    [
        ({"vapi_secret": OLD}, PATH, [200, 401]),
        ({"vapi_secret": NEW, "vapi_secret_previous": OLD}, PATH, [200, 200]),
        ({"vapi_secret": NEW}, PATH, [401, 200]),
        (
            {"endpoints": json.dumps({"acme": {"org_id": ORG, "secret": [NEW, OLD]}})},
            f"{PATH}/acme",
            [200, 200],
        ),
    ],
    ids=["before", "meanwhile", "after", "another endpoint"],
)
async def test_both_secrets_are_valid_during_a_rotation(
    settings: dict[str, str], path: str, statuses: list[int]
) -> None:
    """No secret that a sender may still use is rejected; any other is."""
    async with serving(**settings) as gateway:
        answers = [await gateway.send(HANG, path=path, secret=one) for one in (OLD, NEW, "another")]

    assert [answer.status for answer in answers] == [*statuses, 401]


async def test_the_org_is_that_of_the_endpoint() -> None:
    """Whatever the body contains."""
    endpoints = {"acme": {"org_id": ORG, "secret": SECRET}}
    body = json.dumps({"message": {"type": "hang", "org_id": DEFAULT_ORG}}).encode()

    async with serving(endpoints=json.dumps(endpoints)) as gateway:
        await gateway.send(body, path=f"{PATH}/acme")

        envelope, _ = gateway.take()
    assert (envelope.org_id, envelope.endpoint_id) == (UUID(ORG), "acme")


async def test_an_endpoint_without_a_secret_must_be_allowed() -> None:
    """RINGBACK_ALLOW_UNAUTHENTICATED opens it."""
    async with serving(vapi_secret=" ", allow_unauthenticated="true") as gateway:
        answer = await gateway.send(HANG, secret=None)

    assert answer.status == 200


async def test_a_binary_trace_header_is_ignored(gateway: ServedGateway) -> None:
    """Bytes that are not UTF-8 are no error."""
    head = (
        f"{START}Traceparent: 00-{'1' * 32}-{'2' * 16}-01\r\nContent-Length: 15\r\n"
        "Connection: close\r\nTracestate: "
    ).encode()

    answer = await gateway.send_raw(head + b"a=\xff\xfe\r\n\r\n" + HANG)

    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("outcome", list(PublishOutcome)[1:])
async def test_a_webhook_that_is_not_stored_gets_503(
    gateway: ServedGateway, outcome: PublishOutcome
) -> None:
    """The response does not show the reason; the metric does. The next one may be accepted."""
    gateway.broker.outcome = outcome
    rejected = await gateway.send(HANG)
    gateway.broker.outcome = PublishOutcome.CONFIRMED
    accepted = await gateway.send(HANG)

    assert_problem(rejected, 503, "could not be stored")
    assert int(rejected.headers["Retry-After"]) > 0
    assert gateway.metric("webhook_rejected_total", endpoint="", reason=outcome.value) == 1
    assert accepted.status == 200


async def test_a_bug_is_answered_with_500(
    gateway: ServedGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log has its stack, the response has nothing of it."""
    gateway.broker.error = ZeroDivisionError("a bug")
    answer = await gateway.send(HANG)

    assert_problem(answer, 500, "Internal error")
    assert "gateway.failed" in capfd.readouterr().out


async def test_accepted_webhooks_are_counted_by_type(gateway: ServedGateway) -> None:
    """Unknown types share one series, and rejections are counted by reason."""
    for body in (HANG, b'{"type":"stranger"}', b'{"type":"stranger-still"}', b"{"):
        await gateway.send(body)

    assert gateway.metric("webhook_total", event_type="hang") == 1
    assert gateway.metric("webhook_total", event_type="other") == 2
    assert gateway.metric("webhook_rejected_total", endpoint="", reason="not_json") == 1


async def test_an_endpoint_s_own_retry_schedule_is_in_the_envelope() -> None:
    """Only if it declares one: otherwise the processors' setting applies, which may change."""
    endpoints = {"acme": {"org_id": ORG, "retry_schedule": "2s,1h"}, "beta": {"org_id": ORG}}
    async with serving(endpoints=json.dumps(endpoints), allow_unauthenticated="true") as gateway:
        schedules = []
        for name in endpoints:
            await gateway.send(HANG, path=f"{PATH}/{name}")
            envelope, _ = gateway.take()
            schedules.append(envelope.headers().get("retry_schedule"))

    assert schedules == ["2s,1h", None]
