"""The text of the search box, as a request and back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesRequest
from ringback.services.metrics.console.views.query import (
    QUALIFIERS,
    Term,
    command_of,
    parse,
    text_of,
    with_fixed_times,
)

NOW = datetime(2026, 11, 29, 21, 30, 0, 5, tzinfo=UTC)
ORG = "00000000-0000-0000-0000-000000000001"
JOB = "01a22927-8f3c-7abc-8def-0123456789ab"
CALL = "01a22927-8f3c-4abc-8def-0123456789ab"


def requested(**fields: Any) -> ListDeliveriesRequest:
    """A request; times are `start` and `end`."""
    start, end = fields.pop("start", None), fields.pop("end", None)
    request = ListDeliveriesRequest(**fields)
    if start:
        request.start_time.FromDatetime(start)
    if end:
        request.end_time.FromDatetime(end)
    return request


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("  type:end-of-call-report\t", {"event_type": "end-of-call-report"}),
        ("Status:Dead-Letter", {"status": DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER}),
        ('status:"dead letter"', {"status": DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER}),
        (
            f"call:abc error:TimeoutError org:{ORG} job:01a22927 run:{CALL}",
            {
                "call_id": "abc",
                "error_class": "TimeoutError",
                "org_id": ORG,
                "job_id_prefix": "01a22927",
                "run_id": CALL,
            },
        ),
        (
            "since:2h until:2026-11-29T22:00+01:00",
            {"start": NOW.replace(hour=19), "end": datetime(2026, 11, 29, 21, tzinfo=UTC)},
        ),
        ("since:2026-11-29", {"start": datetime(2026, 11, 29, tzinfo=UTC)}),
        ("01a22927", {"job_id_prefix": "01a22927"}),
        (JOB, {"job_id_prefix": JOB}),
        (CALL, {"call_id": CALL}),
        ("call-7", {"call_id": "call-7"}),
        ("01a", {"call_id": "01a"}),
        ('"type:x y"', {"call_id": "type:x y"}),
        (r'error:"say \"no\" \\ \n"', {"error_class": r'say "no" \ n'}),
        ('call:a"b', {"call_id": 'a"b'}),
        ("error:a:b%_.*';--", {"error_class": "a:b%_.*';--"}),
    ],
)
def test_a_text_is_a_request(text: str, fields: dict[str, Any]) -> None:
    query = parse(text, NOW)

    assert (query.problems, query.request) == ((), requested(**fields))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("typ:hang", [("There is no qualifier typ. Use type, status, call, error", "typ:hang")]),
        ("status:lost", [("There is no status lost. Use one of pending, ", "status:lost")]),
        ("hang type:", [("A value is missing.", "type:")]),
        ('call:""', [("A value is missing.", 'call:""')]),
        ('call:"a b', [('The closing " is missing.', 'call:"a b')]),
        ('call:"a"b', [('Put a space after the closing ".', 'call:"a"b')]),
        ("call:a call:b", [("call is there twice. Use it once.", "call:b")]),
        ("job:01a2 01a3", [("(a value alone is job:)", "01a3")]),
        ("job:xyz9", [("not the beginning of a job id", "job:xyz9")]),
        ("org:1", [("the id of an organisation: it is a UUID", "org:1")]),
        ("run:1", [("the id of a retry run: it is a UUID", "run:1")]),
        ("until:soon", [("soon is not a time", "until:soon")]),
        ("since:0001-01-01T00:00+14:00", [("is not a time", "since:0001-01-01T00:00+14:00")]),
        ("since:1h until:2h", [("must be after that of since", "until:2h")]),
        ("a:1 status:x", [("no qualifier a", "a:1"), ("no status x", "status:x")]),
        ("x" * 2001, [("at most 2000 characters", "x")]),
    ],
)
def test_a_problem_has_its_place(text: str, places: list[tuple[str, str]]) -> None:
    problems = parse(text, NOW).problems

    assert [text[one.start : one.end] for one in problems] == [place for _, place in places]
    for problem, (message, _) in zip(problems, places, strict=True):
        assert message in problem.message


VALUES = st.text(min_size=1, max_size=30) | st.sampled_from(["since:2h", '"', "\\", "01a2", " a "])
TERMS = st.lists(st.builds(Term, st.sampled_from(["", *QUALIFIERS]), VALUES), max_size=4)


@given(TERMS)
@example([Term("", "status:failed"), Term("call", 'a" type:b')])
def test_terms_survive_as_text(terms: list[Term]) -> None:
    assert parse(text_of(terms), NOW).terms == tuple(terms)


@given(st.text(max_size=100))
@example("call:\ud800")
@example('"a\\')
def test_any_text_has_an_answer(text: str) -> None:
    query = parse(text, NOW)

    assert query.terms or query.problems or not text.strip()


def test_a_link_to_the_next_page_has_absolute_times() -> None:
    terms = parse("status:failed since:2h 01a22927", NOW).terms

    fixed = text_of(with_fixed_times(terms, NOW))
    assert fixed == "status:failed since:2026-11-29T19:30:00.000005Z 01a22927"
    assert parse(fixed, NOW.replace(year=2027)).request == parse(text_of(terms), NOW).request


def test_the_command_that_lists_the_same() -> None:
    terms = parse('type:hang error:"a b" call:-c 01a22927', NOW).terms

    expected = "ringback delivery list --type hang --error 'a b' --call=-c --job 01a22927"
    assert command_of(terms) == expected
