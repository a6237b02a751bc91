"""An event on a page, and two events compared."""

import json

import pytest

from ringback.contract.redaction.scrub import REDACTED
from ringback.services.metrics.console.views import payload as views
from ringback.services.metrics.console.views.diff import MAX_DIFFERENCES, diff_of
from ringback.services.metrics.console.views.payload import MAX_LINES, Payload, payload_of


def shown(payload: Payload) -> str:
    """All that is shown of an event, in one line."""
    lines = payload.lines
    return "".join(
        (f"{line.name}:" if line.name else "") + "".join(piece.text for piece in line.pieces)
        for line in lines
    )


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567890.10",
        '{"":null,"a":{},"b":[],"c":[{"d":-0.0},[1e5]],"e":"\\u0000\\"{[:,"}',
        '["\u202e<script>alert(1)</script>"]',
        "[" * 254 + "]" * 254,
    ],
)
def test_an_event_is_shown_as_it_is_stored(text: str) -> None:
    payload = payload_of(text)

    assert shown(payload).replace(",", "") == text.replace(",", "")
    assert (payload.is_cut, payload.size) == (False, len(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        '"' + "x" * 8_000_000 + '"',
        json.dumps({f"key {number}": number for number in range(10_000)}),
        json.dumps({"a": {"b": ["x" * 100] * 10_000}}),
        "[" + "[]," * 100_000 + "1]",
        '"' + "\u202e" * 100_000 + '"',
        "[" * 254 + '"' + "x" * 100_000 + '"' + "]" * 254,
    ],
)
def test_of_a_large_event_only_the_beginning_is_shown(text: str) -> None:
    """With as many ends as beginnings, so that the page is whole."""
    payload = payload_of(text)

    assert payload.is_cut
    kinds = [line.kind for line in payload.lines]
    assert kinds.count("open") == kinds.count("close")
    assert len(kinds) <= MAX_LINES + views.MAX_DEPTH
    assert len(shown(payload)) <= views.MAX_CHARS + views.MAX_DEPTH
    assert shown(payload).count("\u202e") <= views.MAX_MARKS


@pytest.mark.parametrize("text", ["", "]", "{", '{"a"', "nonsense }{", '"'])
def test_what_is_no_json_is_shown_too(text: str) -> None:
    kinds = [line.kind for line in payload_of(text).lines]

    assert kinds.count("open") == kinds.count("close")


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        ({"token": REDACTED}, views.BY_NAME),
        ({"password": {"value": [REDACTED]}}, views.BY_NAME),
        ({"a": [{"password": 1}, {"b": REDACTED}]}, views.BY_PATH),
        ({"secret" * 9000: REDACTED}, views.BY_NAME),
        ({"number": REDACTED}, views.BY_PATH),
        ({"url": f"https://{REDACTED}@example.com"}, views.IN_TEXT),
        ({"text": "a\ufffdb"}, views.ALTERED_TEXT),
        ({"number": "1e130000"}, views.ALTERED_NUMBER),
        ({"number": "9" * 301}, views.ALTERED_NUMBER),
        ({"number": "12", "token": None}, None),
    ],
)
def test_what_is_not_as_it_arrived_is_marked(event: object, rule: str | None) -> None:
    text = json.dumps(event, ensure_ascii=False)
    pieces = [piece for line in payload_of(text, is_altered=True).lines for piece in line.pieces]

    assert [piece.rule for piece in pieces if piece.rule] == ([rule] if rule else [])


def test_an_unaltered_event_may_have_such_texts() -> None:
    lines = payload_of('{"a":"\ufffd","b":"1e130000"}').lines

    assert not any(piece.rule for line in lines for piece in line.pieces)


@pytest.mark.parametrize(
    ("before", "after", "differences"),
    [
        ('{"a":{"b":[1,{"c":2}]}}', '{"a":{"b":[1,{"c":2}]}}', []),
        ('{"a":{"b":[1,{"c":2}]}}', '{"a":{"b":[1,{"c":3}]}}', [("a.b[1].c", "2", "3")]),
        ('{"a":1}', '{"b":1}', [("a", "1", None), ("b", None, "1")]),
        ('{"n":1.0}', '{"n":1.00}', [("n", "1.0", "1.00")]),
        ("1", '"1"', [("", "1", '"1"')]),
    ],
)
def test_two_events_are_compared(
    before: str, after: str, differences: list[tuple[str, str | None, str | None]]
) -> None:
    diff = diff_of(payload_of(before), payload_of(after))

    assert [(each.path, each.before, each.after) for each in diff.differences] == differences
    assert (diff.left_out, diff.is_cut) == (0, False)


def test_many_differences_are_counted() -> None:
    before, after = (payload_of(json.dumps([value] * 3000)) for value in ("a", "b"))

    diff = diff_of(before, after)

    assert len(diff.differences) == MAX_DIFFERENCES
    assert diff.left_out > MAX_DIFFERENCES
    assert diff.is_cut


def test_a_long_name_is_cut_in_the_paths_of_a_difference() -> None:
    """Each value below it has it in its path. Long names that begin alike stay apart."""
    names = ["n" * 5000, "n" * 5000 + "x"]
    before, after = (payload_of(json.dumps({name: [each] for name in names})) for each in (1, 2))

    differences = diff_of(before, after).differences

    assert len(differences) == 2
    assert all(len(each.path) < 200 for each in differences)
