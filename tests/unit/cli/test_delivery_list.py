"""What `ringback delivery list` requests and prints."""

import re
from datetime import UTC, datetime

import orjson
import pytest

from ringback.cli.commands import delivery_list
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, FIRST, at
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

STYLE = re.compile(r"\x1b\[[0-9;]*m")


def page(
    count: int, *, searched_s: float | None = None, event_type: str = "hang"
) -> metrics.ListDeliveriesResponse:
    """Webhooks of one second each before `at(0)`. With `searched_s` there is a next page."""
    found = metrics.ListDeliveriesResponse()
    for number in range(count):
        found.deliveries.add(
            job_id=DEAD,
            event_type=event_type,
            created_at=at(-number),
            status=DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER,
            error_class="ConnectionError",
        )
    if searched_s is not None:
        found.next_page_token = "next"
        found.searched_until.CopyFrom(at(searched_s))
    return found


def test_the_options_are_filters(service: ScriptedService, ringback: Ringback) -> None:
    """The longer names of other commands are the same."""
    service.answer = lambda _: page(0)
    fixed = (
        *("--status", "dead-letter", "--since", "2026-01-27T06:30"),
        *("--until", "2026-01-27T07:00Z"),
    )

    more = ("--job", FIRST[:9], "--org", FIRST, "--run", FIRST, "--limit", "7")
    short, long = [
        ringback("delivery", "list", *fixed, *more, names[0], "t", names[1], "c", names[2], "e")
        for names in (
            ("--type", "--call", "--error"),
            ("--event-type", "--call-id", "--error-class"),
        )
    ]

    expected = metrics.ListDeliveriesRequest(
        page_size=7, event_type="t", call_id="c", error_class="e", org_id=FIRST,
        run_id=FIRST, job_id_prefix=FIRST[:9], status=DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER,
    )  # fmt: skip
    expected.start_time.CopyFrom(at(0))
    expected.end_time.CopyFrom(at(1800))
    assert service.requests == [expected, expected]
    assert short == long == (0, "No webhook matched.\n", "")


@pytest.mark.parametrize(("option", "value"), [("--status", "lost"), ("--since", "soon")])
def test_bad_filters_are_explained(ringback: Ringback, option: str, value: str) -> None:
    ended = ringback("delivery", "list", option, value)

    assert ended.status == 2
    assert f"'{value}'" in ended.error


@pytest.mark.parametrize(
    ("pages", "options", "sentence", "shown"),
    [
        ([page(1)], (), "1 webhook matched; these are all.", 1),
        ([page(0, searched_s=-50), page(2)], (), "2 webhooks matched; these are all.", 2),
        (
            [page(2, searched_s=-10)],
            ("--limit", "2"),
            "2026-01-27 06:29:50 UTC. For older ones, use --until 2026-01-27T06:29:50.000Z, or",
            2,
        ),
        (
            # More than were wanted: the search goes on after the last one that is shown.
            [page(1, searched_s=-10), page(3, searched_s=-70)],
            ("--limit", "2"),
            "For older ones, use --until 2026-01-27T06:30:00.001Z, or a larger --limit.",
            2,
        ),
        (
            [page(0, searched_s=-10)] * 2 + [page(1, searched_s=-3600)],
            (),
            "2026-01-27 05:30:00 UTC. To look further back, use --until 2026-01-27T05:30:00.000Z.",
            1,
        ),
        (
            # All in one millisecond: going on from there would list the same.
            [page(1, searched_s=-10)],
            ("--limit", "1", "--until", "2026-01-27T06:29:50Z"),
            "For older ones, use a larger --limit.",
            1,
        ),
    ],
)
def test_it_says_how_far_it_has_looked(
    service: ScriptedService,
    ringback: Ringback,
    monkeypatch: pytest.MonkeyPatch,
    pages: list[metrics.ListDeliveriesResponse],
    options: tuple[str, ...],
    sentence: str,
    shown: int,
) -> None:
    monkeypatch.setattr(delivery_list, "MAX_PAGES", 3)
    service.answer = answers(*pages)

    ended = ringback("delivery", "list", *options)

    assert sentence in " ".join(ended.out.split())
    assert ended.out.count(DEAD) == shown
    assert len(service.requests) == len(pages)


@pytest.mark.parametrize(("columns", "job"), [("80", DEAD[:18]), ("120", DEAD)])
def test_a_row_fits_the_terminal(
    service: ScriptedService,
    ringback: Ringback,
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
    job: str,
) -> None:
    """A long type is cut; a pipe gets everything."""
    service.answer = lambda _: page(1, event_type="type-" * 30)
    piped = ringback("delivery", "list")
    for name, value in (("COLUMNS", columns), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)

    shown = STYLE.sub("", ringback("delivery", "list").out).splitlines()

    days = f"{(datetime.now(UTC) - at(0).ToDatetime(UTC)).days} days ago"
    assert re.fullmatch(rf"{job}  {days}  dead letter  type-type\S*…  ConnectionError", shown[1])
    assert max(map(len, shown[:2])) <= int(columns)
    assert re.search(rf"{DEAD}  {days} +dead letter  {'type-' * 30}  ConnectionError", piped.out)


def test_json_has_all_pages(service: ScriptedService, ringback: Ringback) -> None:
    service.answer = answers(page(1, searched_s=-10), page(2, searched_s=-20))

    [line] = ringback("delivery", "list", "--limit", "3", "--json").out.splitlines()

    document = orjson.loads(line)
    assert len(document["deliveries"]) == 3
    assert document["searchedUntil"] == "2026-01-27T06:29:40.000Z"
    assert not document["nextPageToken"]


def test_a_forward_is_marked_beside_the_webhook_that_it_sends(
    service: ScriptedService, ringback: Ringback
) -> None:
    """Both have the same type."""
    found = page(2)
    found.deliveries[0].forward = "crm"
    service.answer = lambda _: found

    lines = ringback("delivery", "list").out.splitlines()

    assert ["hang, forward crm" in line for line in lines[1:3]] == [True, False]
