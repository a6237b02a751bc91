"""Copies of payloads, and the numbers that commands calculate."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from ringback import samples
from ringback.cli.client.database import database
from ringback.cli.commands.bulk_retry import point_in_time
from ringback.cli.load.load_generator import percentile
from ringback.cli.load.payload_template import (
    NotJsonObjectError,
    copy_id,
    sent_at_ms,
    shift_timestamps,
    template_of,
)
from ringback.cli.terminal import BadInputError, CommandError
from ringback.cli.views.health_view import Rates, Sample
from ringback.services.gateway.events.metadata import EventMetadata, parse_metadata

RUN, OTHER_RUN = "0123456789abcdef", "fedcba9876543210"
START_MS = 1_800_000_000_000
NOW = datetime(2026, 1, 27, 6, 30, tzinfo=UTC)
OTHER_PAYLOADS: list[dict[str, object]] = [
    {"type": "unknown", "timestamp": 1},
    {"type": "unknown", "timestamp": 1, "call": {"id": "x"}},
    {"type": "chat.created", "chat": {"id": "chat-0001"}},
    # A new time is not enough: the key of tool calls consists of ids.
    {"type": "tool-calls", "chat": {"id": "chat-0001"}, "toolCallList": [{"id": "t"}]},
]


def key_of(body: bytes) -> str | None:
    metadata = parse_metadata(body)
    assert isinstance(metadata, EventMetadata)
    return metadata.dedup_key


@pytest.mark.parametrize(
    "payload",
    [
        *(pytest.param(samples.sample(name), id=name) for name in samples.names()),
        *(orjson.dumps({"message": message}) for message in OTHER_PAYLOADS),
    ],
)
def test_copies_have_different_dedup_keys(payload: bytes) -> None:
    """Copies of one run and of two runs are different events, if the event type has a key."""
    template = template_of(payload)

    keys = [
        key_of(template.copy(number, run=run, start_ms=START_MS))
        for run in (RUN, OTHER_RUN)
        for number in range(20)
    ]

    assert len(set(keys)) == 40 or set(keys) == {None}


def test_a_copy_differs_only_in_ids_and_time() -> None:
    """An id is replaced in all values; a short one only where it is the whole value."""
    message = {
        "type": "hang",
        "timestamp": 1,
        "call": {"id": "call-000001", "cost": 1.5},
        "chat": {"id": "a"},
        "recording": "https://example.com/call-000001.wav",
        "call-000001": ["é", None, "\u0000", 7, "a cat", "a"],
    }

    copy = template_of(orjson.dumps({"message": message})).copy(3, run=RUN, start_ms=START_MS)

    call_id, chat_id = copy_id(3, 0, RUN), copy_id(3, 1, RUN)
    assert orjson.loads(copy)["message"] == message | {
        "timestamp": START_MS + 3,
        "call": {"id": call_id, "cost": 1.5},
        "chat": {"id": chat_id},
        "recording": f"https://example.com/{call_id}.wav",
        "call-000001": ["é", None, "\u0000", 7, "a cat", chat_id],
    }


@pytest.mark.parametrize("payload", [b"", b"nope", b"[1]", b'"text"', b"\xff"])
def test_only_json_objects_have_copies(payload: bytes) -> None:
    with pytest.raises(NotJsonObjectError):
        template_of(payload)


def test_shifting_changes_only_times() -> None:
    """Epoch milliseconds and ISO times are shifted; prices, durations and texts are not."""
    message = {
        "timestamp": 1786718262833,
        "startedAt": "2026-08-14T14:37:06.180Z",
        "exact": 1786718262833.5,
        "durationMs": 26830,
        "cost": 0.07,
        "ended": True,
        "summary": "on 2026-08-14T14:37:06.180Z, they called",
    }

    shifted = shift_timestamps(orjson.dumps({"message": message}), 60_000)

    assert sent_at_ms(shifted) == 1786718322833
    assert orjson.loads(shifted)["message"] == message | {
        "timestamp": 1786718322833,
        "startedAt": "2026-08-14T14:38:06.180Z",
        "exact": 1786718322833.5,
    }


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7.0], 99, 7.0),
        ([3.0, 1.0, 2.0, 4.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
    ],
)
def test_percentile_is_one_of_the_values(
    values: list[float], percent: float, expected: float | None
) -> None:
    """It is the smallest value that so many percent do not exceed."""
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T12:00", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01T12:00+02:00", datetime(2026, 1, 1, 10, tzinfo=UTC)),
        *((text, None) for text in ("", "yesterday", "2w", "h", "-2h", "2026-13-01")),
    ],
)
def test_a_point_in_time(text: str, expected: datetime | None) -> None:
    """A duration before now, or a date, in UTC by default; the error shows valid forms."""
    if expected is not None:
        assert point_in_time(text, NOW) == expected
        return
    with pytest.raises(BadInputError, match="2h for two hours ago"):
        point_in_time(text, NOW)


def sample(at_s: float, completed: int, *, start: float = 0.0) -> Sample:
    return Sample(at_s, start, {"completed": completed})


@pytest.mark.parametrize(
    ("added", "rate"),
    [
        ((), None),
        ((sample(0, 100),), None),
        ((sample(0, 100), sample(2, 120)), 10),
        # One reading failed.
        ((sample(0, 100), None, sample(4, 140)), 10),
        # The range advanced between 2 and 4 s, so that step does not count.
        ((sample(0, 100), sample(2, 120), sample(4, 30, start=60), sample(6, 50, start=60)), 10),
        # Old samples are dropped.
        ((sample(0, 0), sample(2, 9000), sample(20, 9000), sample(22, 9020)), 10),
    ],
)
def test_a_rate_compares_samples_of_the_same_range(
    added: tuple[Sample | None, ...], rate: float | None
) -> None:
    """There is no rate until two samples can be compared."""
    rates = Rates()
    for one in added:
        rates.add(one)

    assert rates.per_second("completed") == rate


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://me:geheim@127.0.0.1:1/shop", "at 127.0.0.1:1/shop cannot"),
        ("postgresql://me@/shop?host=%2Fno%20where&port=7432", "at /no where:7432/shop cannot"),
    ],
)
async def test_an_unreachable_database_is_named_without_its_password(url: str, named: str) -> None:
    with pytest.raises(CommandError, match=named) as raised:
        async with database(url):
            pass

    assert "geheim" not in str(raised.value)
