"""How `ringback trace` presents recorded spans."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.cli.command import Ringback

JOB = "01a20ae5-092a-7231-b1cb-a72e977205ad"
RETRY = "01a20ae5-4b9a-753a-af38-ceb3871aecf8"
OTHER = "01a20ae5-0a1a-75cc-807a-3858373dc1c8"
MIDNIGHT_MS = 1_795_478_400_000  # 2026-11-24
KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
DEAD = "webhooks.dead:attempt.2:webhooks.dlq"


def span(
    name: str, ids: str, at_ms: int, took_ms: int, *, kind: str = "CLIENT", **more: Any
) -> dict[str, Any]:
    """A span as a service writes it. `ids` are `trace/span` or `trace/span/parent`.

    `attributes`, `links` (pairs of a relation and `trace/span`) and `error` may be given.
    """
    trace_id, span_id, parent_id = (*ids.split("/"), "")[:3]
    start_ns = (MIDNIGHT_MS + at_ms) * 1_000_000
    written: dict[str, Any] = {
        "traceId": trace_id.rjust(32, "0"),
        "spanId": span_id.rjust(16, "0"),
        "name": name,
        "kind": KINDS[kind],
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + took_ms * 1_000_000),
        "attributes": values(more.get("attributes", {})),
        "links": [
            {
                "traceId": to.split("/")[0].rjust(32, "0"),
                "spanId": to.split("/")[1].rjust(16, "0"),
                "attributes": values({"ringback.link": relation}),
            }
            for relation, to in more.get("links", ())
        ],
    }
    if parent_id:
        written["parentSpanId"] = parent_id.rjust(16, "0")
    if "error" in more:
        written["status"] = {"code": 2, "message": "It broke."}
        written["attributes"] += values({"error.type": more["error"]})
    return written


def values(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else
         {"intValue": str(value)}}
        for key, value in attributes.items()
    ]  # fmt: skip


def line(*spans: dict[str, Any]) -> bytes:
    resource = {"attributes": values({"service.name": "ringback-processor"})}
    scopes = [{"scope": {"name": "ringback"}, "spans": spans}]
    return orjson.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]})


def of(job_id: str, **more: Any) -> dict[str, Any]:
    return {"ringback.job_id": job_id, **{f"ringback.{name}": it for name, it in more.items()}}


def attempt(number: int, ids: str, at_ms: int, took_ms: int, job_id: str, **more: Any) -> Any:
    attributes = of(job_id, attempt=number, event_type="hang", outcome=more.pop("outcome"))
    attributes["messaging.destination.name"] = f"webhooks:attempt.{number}:webhooks.work"
    name = f"process webhooks:attempt.{number}:webhooks.work"
    return span(name, ids, at_ms, took_ms, kind="CONSUMER", attributes=attributes, **more)


#: Accepted, failed, failed permanently, dead; retried by a run that also retried another one.
SPANS = [
    span("POST /api", "a/1", 0, 4, kind="SERVER", attributes=of(JOB, event_type="hang")),
    span("publish webhooks:attempt.1", "a/2/1", 1, 2, kind="PRODUCER", attributes=of(JOB)),
    attempt(1, "a/3/2", 10, 5, JOB, outcome="failed", error="ShopError"),
    span("route webhooks.retry.1.2s", "a/4/3", 14, 0, kind="PRODUCER",
         attributes=of(JOB, routed_to="webhooks.retry.1.2s")),
    attempt(2, "b/5", 2015, 6, JOB, outcome="permanent", error="ShopError",
            links=[("origin", "a/2"), ("previous_attempt", "a/3")]),
    span("process dead", "c/6", 2040, 3, kind="CONSUMER",
         attributes=of(JOB, attempt=2) | {"messaging.destination.name": DEAD}),
    span("AdminService/RetryDeliveries", "d/7", 60_000, 900, kind="SERVER"),
    span("retry_conditions", "d/8/7", 60_001, 1),
    span("publish webhooks:attempt.1", "d/9/7", 60_010, 3, kind="PRODUCER",
         attributes=of(RETRY, retry_of=JOB)),
    span("publish webhooks:attempt.1", "d/10/7", 60_050, 3, kind="PRODUCER",
         attributes=of(OTHER, retry_of="01a20000-0000-7000-8000-000000000000")),
    attempt(1, "e/11", 60_020, 4, RETRY, outcome="completed", links=[("retry_request", "d/9")]),
    span("finish_attempts", "e/12/11", 60_022, 2),
]  # fmt: skip
SHOWN = """\
01a20ae5-092a-7231-b1cb-a72e977205ad  hang  2 attempts, dead letter

2026-11-24 UTC         trace 0000000000000000000000000000000a
00:00:00.000     4 ms  POST /api
00:00:00.001     2 ms  └─ publish webhooks:attempt.1
00:00:00.010     5 ms     └─ attempt 1              failed  ShopError: It broke.
00:00:00.014    <1 ms        └─ route webhooks.retry.1.2s
                       ⋮ 2.0 s in webhooks.retry.1.2s
                       trace 0000000000000000000000000000000b
00:00:02.015     6 ms  attempt 2                    permanent  ShopError: It broke.
                       ⋮ 19 ms
                       trace 0000000000000000000000000000000c
00:00:02.040     3 ms  dead letter
                       ⋮ 58.0 s
                       webhook 01a20ae5-4b9a-753a-af38-ceb3871aecf8
                       trace 0000000000000000000000000000000d
00:01:00.000   900 ms  AdminService/RetryDeliveries
00:01:00.010     3 ms  └─ publish webhooks:attempt.1
                       trace 0000000000000000000000000000000e
00:01:00.020     4 ms  attempt 1                    completed
00:01:00.022     2 ms  └─ finish_attempts"""


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with SPANS, unordered, and an incomplete last line."""
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"\n".join([line(*SPANS[6:]), line(*SPANS[:6]), b'{"resourceSpans":[{"res']))
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(path))
    monkeypatch.setenv("COLUMNS", "120")
    return path


def words(text: str) -> list[str]:
    """Each line without alignment."""
    return [" ".join(row.split()) for row in text.strip().splitlines()]


@pytest.mark.parametrize("files", [1, 2])
def test_sections_are_in_time_order(recorded: Path, ringback: Ringback, files: int) -> None:
    """Attempts, delays, the dead letter and the retry, also from a full file beside the other."""
    if files == 2:
        recorded.with_name("traces.jsonl.1").write_bytes(line(*SPANS[:6]))
        recorded.write_bytes(line(*SPANS[6:]))

    ended = ringback("trace", JOB)

    assert ended.status == 0
    assert words(ended.out) == words(SHOWN)


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("job", [RETRY, RETRY[:14].upper(), RETRY.replace("-", "")[:14]])
def test_a_retry_is_shown_with_its_original(job: str, ringback: Ringback) -> None:
    ended = ringback("trace", job)

    printed = words(ended.out)
    assert ended.status == 0
    assert printed[0] == f"{RETRY} hang 1 attempt, completed"
    assert f"webhook {JOB}" in printed
    assert printed[-2:] == words(SHOWN)[-2:]


def test_a_wait_in_the_database_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ringback: Ringback
) -> None:
    """At the attempt before it, and as where the webhook was until the next one."""
    waiting = attempt(1, "a/1", 0, 5, JOB, outcome="failed")
    waiting["attributes"] += values({"ringback.wait_reason": "retry"})
    path = tmp_path / "traces.jsonl"
    path.write_bytes(line(waiting, attempt(2, "b/2", 65_005, 5, JOB, outcome="completed")))
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(path))

    printed = words(ringback("trace", JOB).out)

    assert "00:00:00.000 5 ms attempt 1 failed waits: retry" in printed
    assert "⋮ 1 min in the database (retry)" in printed


@pytest.mark.usefixtures("recorded")
def test_json_has_every_attribute(ringback: Ringback) -> None:
    ended = ringback("trace", JOB, "--json")

    [text] = ended.out.splitlines()
    document = orjson.loads(text)
    first, second, *_ = document["traces"]
    assert (ended.status, document["jobId"], document["jobIds"]) == (0, JOB, [JOB, RETRY])
    assert (second["waitedMs"], second["waitedIn"]) == (2000, "webhooks.retry.1.2s")
    assert second["span"]["links"][1] == {
        "traceId": "a".rjust(32, "0"),
        "spanId": "3".rjust(16, "0"),
        "relation": "previous_attempt",
    }
    assert second["span"]["attributes"]["ringback.attempt"] == 2
    assert second["span"]["service"] == "ringback-processor"
    assert first["span"]["startedAt"] == "2026-11-24T00:00:00.000000Z"
    [publish] = first["span"]["children"]
    assert (publish["name"], publish["durationMs"]) == ("publish webhooks:attempt.1", 2)


@pytest.mark.parametrize(
    ("job", "status", "sentence"),
    [
        ("01a20ae5-0", 2, "2 webhooks have a job id that begins with 01a20ae5-0."),
        ("0190", 1, "There are no spans of a webhook 0190"),
        ("", 2, "neither a job id nor the beginning of one"),
    ],
)
def test_a_prefix_must_select_one_webhook(
    recorded: Path, ringback: Ringback, job: str, status: int, sentence: str
) -> None:
    """An ambiguous prefix lists the matches; an unknown one names the file."""
    ended = ringback("trace", job)

    assert (ended.status, ended.out) == (status, "")
    assert sentence in ended.error
    assert (f"{OTHER}    0 attempts  2026-11-24 00:01:00" in ended.err) == (
        "2 webhooks" in sentence
    )
    assert (str(recorded) in ended.err) == (status == 1)


@pytest.mark.usefixtures("no_settings")
def test_a_missing_file_is_explained(tmp_path: Path, ringback: Ringback) -> None:
    ended = ringback("trace", JOB, "--data", str(tmp_path))

    assert ended.status == 1
    assert f"There is no trace file {tmp_path}/traces.jsonl." in ended.error
    assert "`ringback up` writes one" in ended.error
