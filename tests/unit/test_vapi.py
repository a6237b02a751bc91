"""Typed views give what Vapi documents, and refuse nothing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback import vapi
from ringback.contract.event import Event, read_event
from ringback.contract.json_view import Field, View
from ringback.contract.telemetry import KNOWN_EVENT_TYPES
from ringback.samples import names, sample
from ringback.vapi import CallMessage, EndOfCallReport, ToolCall, ToolCalls

MESSAGES = CallMessage.__subclasses__()
VIEWS = [
    value for value in vars(vapi).values() if isinstance(value, type) and issubclass(value, View)
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def fields_of(kind: type[View]) -> list[str]:
    return [
        name
        for name in dir(kind)
        if isinstance(getattr(kind, name), Field | property) and not name.startswith("_")
    ]


def test_each_documented_type_has_one_class() -> None:
    types = [name for kind in MESSAGES for name in kind.TYPES]

    assert sorted(types) == sorted(KNOWN_EVENT_TYPES)


def test_the_fields_of_each_sample_are_read() -> None:
    """Every field of a class, besides those of all messages, has a value in one of its samples."""
    for name in names():
        event = read_event(sample(name))
        assert isinstance(event, Event)
        base = event.type.partition("[")[0]
        [kind] = [kind for kind in MESSAGES if base in kind.TYPES]

        view = kind(event.message)

        assert view.type == event.type, name
        assert view == event.message, name
        own = set(fields_of(kind)) - set(fields_of(CallMessage))
        assert not own or any(getattr(view, field) for field in own)


@given(st.data())
def test_views_refuse_nothing(data: st.DataObject) -> None:
    """Whatever stands at a field, it is read as its type or as nothing."""
    kind = data.draw(st.sampled_from(VIEWS))
    keys = {
        key
        for name in dir(kind)
        if isinstance(field := getattr(kind, name), Field)
        for path in field.paths
        for key in path.split(".")
    }
    raw = data.draw(st.dictionaries(st.sampled_from(sorted(keys) or ["x"]), ANY_JSON) | ANY_JSON)
    view = kind(raw)

    for name in fields_of(kind):
        value = getattr(view, name)
        assert value is None or isinstance(value, str | int | float | bool | datetime | View | list)


def test_a_field_of_another_type_is_none_and_stays_reachable() -> None:
    report = EndOfCallReport(
        {
            "endedReason": 7,
            "cost": "0.5",
            "durationSeconds": True,
            "analysis": "none",
            "costs": [{"type": "llm", "cost": 0.25}, "x"],
            "new": {"field": 1},
        }
    )

    assert (report.ended_reason, report.cost, report.duration_seconds) == (None, None, None)
    assert report.analysis.summary is None
    assert [cost.cost for cost in report.costs] == [0.25]
    assert (report["endedReason"], report["new"]["field"]) == (7, 1)
    assert not report.analysis
    assert "0.5" not in repr(report)


def test_newer_places_come_before_older_ones() -> None:
    """Times are read in both forms that Vapi sends."""
    report = EndOfCallReport(
        {
            "summary": "old",
            "analysis": {"summary": "new"},
            "transcript": "old",
            "startedAt": "2026-05-04T10:00:00.000Z",
            "timestamp": 1777888800000,
        }
    )

    assert (report.summary, report.transcript) == ("new", "old")
    assert report.started_at == datetime(2026, 5, 4, 10, tzinfo=UTC) == report.timestamp


@pytest.mark.parametrize(
    "form",
    [
        {"id": "t", "function": {"name": "book", "arguments": {"day": 1}}},
        {"id": "t", "function": {"name": "book", "arguments": '{"day": 1}'}},
        {"id": "t", "name": "book", "arguments": {"day": 1}},
        {"id": "t", "name": "book", "parameters": {"day": 1}},
    ],
)
def test_tool_calls_are_read_in_every_form(form: dict[str, Any]) -> None:
    for message in (
        {"toolCallList": [form]},
        {"toolCalls": [form]},
        {"toolWithToolCallList": [{"type": "function", "toolCall": form}]},
    ):
        [call] = ToolCalls(message).tool_calls
        assert (call.id, call.name, dict(call.arguments)) == ("t", "book", {"day": 1})
    assert ToolCall({"arguments": "{", "parameters": [1]}).arguments == {}
