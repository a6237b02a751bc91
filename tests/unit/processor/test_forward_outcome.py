"""What the answers of a forward's receiver mean."""

import dataclasses
import json
from collections.abc import Mapping
from email.utils import formatdate
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.json_text import read_json
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.redaction.scrub import REDACTED
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import AttemptOutcome
from ringback.runtime.endpoints.forwards import Forward
from ringback.runtime.outgoing.client import Failure, Response
from ringback.services.processor.attempt.result import AttemptResult
from ringback.services.processor.builtin.forward_outcome import (
    Later,
    decide,
    failed_call,
    redirect_place,
    stored_answer,
    wait_for,
)

NOW_S = 1_764_400_000.0
SCHEDULE = RetrySchedule.parse("10s,1m,1h")
FORWARD = Forward(
    endpoint_id="acme",
    name="crm",
    url="https://crm.example.com/vapi",
    event_types=("*",),
    secrets=(),
    timeout_s=15.0,
    schedule=None,
    networks=(),
    permanent_statuses=frozenset({410, 404}),
    concurrency=4,
    keys=(),
)


def decided(
    status: int, headers: Mapping[str, str] | None = None, attempt: int = 1
) -> AttemptResult | Later:
    response = Response(status=status, headers=headers or {}, body=b"")
    return decide(response, FORWARD, SCHEDULE, Attempt(attempt), NOW_S)


@given(st.integers(100, 599))
def test_every_status_ends_an_attempt(status: int) -> None:
    """2xx finishes, 410 and the declared statuses are permanent, and all others are tried again."""
    result = decided(status)

    assert isinstance(result, AttemptResult)
    if 200 <= status < 300:
        assert result.outcome is AttemptOutcome.COMPLETED
        assert result.error_class is None
    else:
        is_permanent = status in {404, 410}
        expected = AttemptOutcome.PERMANENT if is_permanent else AttemptOutcome.FAILED
        assert result.outcome is expected
        assert result.error_class == f"http_{status}"
        assert f"status {status}" in (result.error_message or "")


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_receiver_that_names_a_time_uses_no_attempt(status: int) -> None:
    assert decided(status, {"Retry-After": "300"}) == Later(300.0)
    assert isinstance(decided(status), AttemptResult)
    assert isinstance(decided(500, {"Retry-After": "300"}), AttemptResult)


@pytest.mark.parametrize(
    ("retry_after", "attempt", "expected"),
    [
        ("300", 1, 300.0),
        (formatdate(NOW_S + 300, usegmt=True), 1, 300.0),
        # It only lengthens the delay of the schedule, up to its longest one.
        ("0", 1, 10.0),
        ("30", 2, 60.0),
        ("300", 4, 3600.0),
        ("86400", 1, 3600.0),
        ("soon", 1, None),
    ],
)
def test_retry_after_lengthens_within_the_schedule(
    retry_after: str, attempt: int, expected: float | None
) -> None:
    assert wait_for(retry_after, SCHEDULE, Attempt(attempt), NOW_S) == expected


def test_without_retries_no_answer_makes_a_webhook_wait() -> None:
    assert wait_for("300", RetrySchedule.parse(""), Attempt(1), NOW_S) is None


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://169.254.169.254/latest/meta-data", "http://169.254.169.254/latest/meta-data"),
        ("https://ada:hush@crm.example.com/a?token=hush#hush", "https://crm.example.com/a"),
        # Nothing of the declared URL, which may have a secret in its path.
        ("/login?next=hush", "/login"),
        ("?x", ""),
        ("#x", ""),
        ("//ada:hush@other.example:8443", "//other.example:8443"),
        ("https://a.example/" + "x" * 500, "https://a.example/" + "x" * 182),
        ("https://a.example/\x1b[31m", "https://a.example/[31m"),
        ("javascript:hush", ""),
        ("https:", ""),
        ("http://[::1", ""),
        ("", ""),
    ],
)
def test_a_redirect_shows_where_it_pointed_without_secrets(location: str, expected: str) -> None:
    assert redirect_place(location) == expected
    result = decided(302, {"Location": location})
    assert isinstance(result, AttemptResult)
    assert (f"points to {expected}." in (result.error_message or "")) is bool(expected)
    assert "hush" not in str(result)


CALLS = [one for one in Failure if one not in {Failure.BUSY, Failure.BREAKER_OPEN}]


def test_each_failure_has_its_sentence_for_a_public_receiver() -> None:
    found = [failed_call(one, FORWARD) for one in CALLS]

    assert len({result.error_message for result in found}) == len(found)
    assert {result.outcome for result in found} == {AttemptOutcome.FAILED}


def test_a_private_receiver_has_one_sentence_for_all_causes() -> None:
    """Otherwise a tenant could find out which hosts and ports there are."""
    private = dataclasses.replace(FORWARD, networks=(ip_network("10.0.0.0/8"),))
    found = {failed_call(one, private) for one in CALLS if one is not Failure.ADDRESS_NOT_ALLOWED}

    assert len(found) == 1
    assert found != {failed_call(Failure.ADDRESS_NOT_ALLOWED, private)}


def answer(body: bytes, hidden: tuple[str, ...] = ()) -> dict[str, object]:
    response = Response(status=500, headers={}, body=body)
    found = json.loads(stored_answer(response, 0.0123, DEFAULT_REDACTION, hidden))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "no such account"}', '{"error": "no such account"}'),
        (b"<h1>Bad Gateway</h1>", "<h1>Bad Gateway</h1>"),
        (b'{"apiKey": "hush-hush-hush"}', json.dumps({"apiKey": REDACTED}, separators=(",", ":"))),
        (b"see https://a.example/?token=hush-hush", f"see https://a.example/?token={REDACTED}"),
        (b"you sent hush-hush-hush", f"you sent {REDACTED}"),
        (b"\xff\x00", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (b"", ""),
    ],
)
def test_an_answer_is_stored_without_secrets(body: bytes, text: str) -> None:
    found = answer(body, hidden=("hush-hush-hush",))

    assert found == {"status": 500, "latency_ms": 12.3, "text": text, "is_cut": False}


@given(st.binary(max_size=200).map(lambda part: part * 100))
def test_at_most_4_kb_are_stored_and_any_database_takes_them(body: bytes) -> None:
    found = answer(body)

    assert len(str(found["text"]).encode()) <= 4096
    assert not read_json(json.dumps(found).encode()).altered
