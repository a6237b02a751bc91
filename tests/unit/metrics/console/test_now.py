"""The page Now, rendered from answers of the API."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.message import Message

from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import delivery_pb2 as delivery
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.services.metrics.console.page import Redirect
from ringback.services.metrics.console.pages.now import now, pause, resume
from ringback.services.metrics.console.views.queues import queue_rows
from ringback.services.metrics.queries.queue_health import health_of
from ringback.services.metrics.queries.queue_snapshot import QueueSnapshot
from ringback.services.metrics.transport.errors import ApiError, Reason, unavailable
from tests.unit.clock import Clock
from tests.unit.metrics.console.rendered import TENANT, html, run
from tests.unit.metrics.queries.queue_states import last_day, processing, queues

DATABASE_AWAY = unavailable(Reason.DATABASE_UNAVAILABLE, "The database cannot be reached.")
BIDI = "call.\N{RIGHT-TO-LEFT OVERRIDE}<script>"
JOB_ID = "01a22927-b278-7000-8000-000000000001"
WAIT = delivery.Wait(
    job_id=JOB_ID, event_type=BIDI, reason=delivery.WAIT_REASON_ORDER, order_key="call-1"
)
BREAKER = delivery.Destination(
    name="twilio",
    state=delivery.BREAKER_STATE_OPEN,
    processors=2,
    processors_not_closed=1,
    last_error="HTTP 503",
    waiting=212,
)
CHANGE = delivery.Change(
    actor="ann", action=delivery.CHANGE_ACTION_PAUSE, reason="The CRM is being repaired."
)


STATS = metrics.GetDeliveryStatsResponse(
    summary=metrics.DeliverySummary(total=9, success_rate="88.89%", dead_letter=1)
)
FAILURE = delivery.Delivery(
    job_id=JOB_ID,
    event_type=BIDI,
    status=delivery.DELIVERY_STATUS_DEAD_LETTER,
    error_class="TimeoutError",
)
DESTINATIONS = metrics.ListDestinationsResponse(destinations=[BREAKER])
WAITS = metrics.ListWaitingResponse(waiting=[WAIT])
CHANGES = metrics.ListChangesResponse(changes=[CHANGE])


async def page_of(
    health: metrics.GetQueueHealthResponse,
    *others: Message | ApiError,
    query: Mapping[str, str] | None = None,
) -> str:
    """The page with this health and the answers of the other calls."""
    result, _ = await run(now, health, *(others or (DESTINATIONS, WAITS, CHANGES)), query=query)
    return html(result)


def region(page: str, name: str) -> str:
    found = re.search(rf'<section data-region="{name}".*?</section>', page, re.DOTALL)
    assert found, name
    return found[0]


def is_stale(page: str, name: str) -> bool:
    return " stale" in region(page, name).split(">")[0]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def snapshot(clock: Clock) -> QueueSnapshot:
    snapshot = QueueSnapshot(count_max_age_s=18, clock=clock)
    snapshot.queues_read(queues(work=1))
    database_answers(snapshot)
    return snapshot


def database_answers(snapshot: QueueSnapshot, *, paused: bool = False) -> None:
    snapshot.log_read(processing(paused=paused, in_flight=7), last_day(completed=1_234_567))
    snapshot.dead_letters_counted(2)
    snapshot.waits_counted({})


async def test_a_healthy_service(snapshot: QueueSnapshot) -> None:
    """What waits and why, the breakers and the changes; text from outside is harmless."""
    health = health_of(snapshot.state())
    health.rates.CopyFrom(metrics.WebhookRates(accepted=4.06, dead_lettered=0.017))

    page = await page_of(health)

    assert "Healthy" in region(page, "health")
    assert "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567" in region(page, "numbers")
    assert ">4.1<" in region(page, "rates")
    assert ">&lt;0.1<" in region(page, "rates")
    assert "Pause processing" in region(page, "processing")
    assert "earlier webhooks of its call" in region(page, "waits")
    assert "U+202E" in page
    assert "<script>" not in region(page, "waits")
    assert "HTTP 503" in region(page, "destinations")
    assert "The CRM is being repaired." in region(page, "changes")
    assert "stale" not in page


async def test_the_queues_are_shown_while_the_database_is_away(
    snapshot: QueueSnapshot, clock: Clock
) -> None:
    """It is named; its parts are grey or have the error in their place, and the queues are not."""
    clock.now_s += 60
    snapshot.queues_read(queues(work=3))

    page = await page_of(health_of(snapshot.state(allow_stale=True)), *[DATABASE_AWAY] * 3)

    assert "The database does not answer" in region(page, "health")
    assert "Not healthy: the database does not answer" in region(page, "health")
    assert not is_stale(page, "queues")
    stale = ("numbers", "rates", "processing", "waits", "destinations")
    assert all(is_stale(page, name) for name in stale)
    for name in ("waits", "destinations", "changes"):
        assert "The database cannot be reached." in region(page, name)


async def test_the_rest_is_shown_while_the_broker_is_away(
    snapshot: QueueSnapshot, clock: Clock
) -> None:
    clock.now_s += 60
    database_answers(snapshot, paused=True)

    page = await page_of(health_of(snapshot.state(allow_stale=True)))

    assert "The broker does not answer" in region(page, "health")
    assert is_stale(page, "queues")
    assert not is_stale(page, "processing")
    assert "Resume processing" in region(page, "processing")
    assert "Paused by <bdi>ann</bdi>: <bdi>why not</bdi>" in region(page, "processing")


async def test_a_new_service_whose_sources_are_away_shows_no_numbers() -> None:
    """Unknown is not 0."""
    nothing = health_of(QueueSnapshot(count_max_age_s=18).state(allow_stale=True))

    page = await page_of(nothing)

    assert "It has not answered since the metrics service started." in region(page, "health")
    assert 'class="figure"' not in page
    assert "the broker has not answered yet" in region(page, "queues")


@pytest.mark.parametrize(
    ("state", "word", "sentence"),
    [
        ({"processors": 2}, "running", "2 processors."),
        ({"paused": True, "processors": 1}, "paused", "0 of 1 processor stopped consuming."),
        ({}, "stopped", "No processor runs: accepted webhooks wait."),
        ({"paused": True}, "paused", "No processor runs: accepted webhooks wait."),
    ],
)
async def test_processing_runs_only_if_a_processor_does(
    snapshot: QueueSnapshot, state: dict[str, Any], word: str, sentence: str
) -> None:
    health = health_of(snapshot.state())
    health.processing.CopyFrom(delivery.ProcessingState(**state))

    shown = region(await page_of(health), "processing")

    assert f"</span> {word}</span> {sentence}</p>" in shown


async def test_a_tenant_sees_what_belongs_to_it() -> None:
    """Neither the queues nor a form that it may not use."""
    failures = metrics.ListRecentFailuresResponse(failures=[FAILURE])

    result, requests = await run(now, STATS, failures, WAITS, CHANGES, principal=TENANT)

    page = html(result, TENANT)
    assert "88.89%" in region(page, "stats")
    assert "TimeoutError" in region(page, "failures")
    assert "/processing/" not in page
    assert metrics.GetQueueHealthRequest not in map(type, requests)


async def test_a_pause_has_its_reason(snapshot: QueueSnapshot) -> None:
    """Afterwards the page shows it and says what was done; it never shows a text from the URL."""
    health = health_of(snapshot.state())
    paused, [pausing, *looked] = await run(
        pause,
        admin.PauseProcessingResponse(),
        health,
        metrics.GetQueueHealthResponse(processing=delivery.ProcessingState(paused=True)),
        form={"reason": "The CRM is away."},
    )
    resumed, [resuming, _] = await run(resume, admin.ResumeProcessingResponse(), health)

    assert (paused, resumed) == (
        Redirect("/", {"done": "paused"}),
        Redirect("/", {"done": "resumed"}),
    )
    assert len(looked) == 2
    assert pausing == admin.PauseProcessingRequest(reason="The CRM is away.")
    assert resuming == admin.ResumeProcessingRequest()
    assert "You paused processing." in await page_of(health, query={"done": "paused"})
    assert "unheard-of" not in await page_of(health, query={"done": "unheard-of"})


@pytest.mark.parametrize(
    ("messages", "bar"), [(0, 0), (1, 6), (10, 20.8), (1000, 60), (100_000, 100), (10**9, 100)]
)
def test_a_bar_shows_the_magnitude(messages: int, bar: float) -> None:
    """One message is seen, and is not a full bar."""
    [row] = queue_rows([metrics.QueueDepth(queue="webhooks.work", messages=messages)])

    assert row.bar == pytest.approx(bar, abs=0.1)
