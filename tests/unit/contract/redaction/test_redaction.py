"""Tests for ringback.contract.redaction.redaction."""

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.contract.json_text import JsonText, NotJsonError, TooDeepError, read_json
from ringback.contract.redaction.redact_paths import Path, Rules
from ringback.contract.redaction.redaction import (
    DEFAULT_REDACTION,
    Redacted,
    Redaction,
    redaction_by,
)
from ringback.contract.redaction.scrub import REDACTED
from tests.unit.contract.json_documents import JSON_TEXTS
from tests.unit.contract.redaction.test_secret_names import ORDINARY, SECRETS

CANARY = "canary-7f3a9c51"
NAMES = ["a", "ab", "b", "abc", "A_b", "\xe9"]
SEGMENTS = st.sampled_from([*NAMES, "a*", "ab*", "*", "**"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).filter(lambda path: path[-1] != "**").map(tuple)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=30,
)
Place = tuple[str | int, ...]


def redacted(document: Any, setting: str = "defaults") -> Redacted:
    return redaction_by(setting).of(read_json(json.dumps(document).encode()))


def leaves_of(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every leaf of a document, and every empty object or list, with the way to it."""
    if not isinstance(value, dict | list) or not value:
        yield place, value
        return
    children = value.items() if isinstance(value, dict) else enumerate(value)
    yield from chain.from_iterable(leaves_of(child, (*place, key)) for key, child in children)


def matches(segment: str, key: str | int) -> bool:
    if segment == "*":
        return True
    flat_key = str(key).replace("_", "").lower() if isinstance(key, str) else None
    if flat_key is None:
        return False
    flat_segment = segment.strip("*").replace("_", "").lower()
    return flat_key.startswith(flat_segment) if "*" in segment else flat_key == flat_segment


def ends_as(path: Path, place: Place) -> bool:
    """Whether the position ends with the path: the plain definition, from the end backwards."""
    if not path:
        return True
    if path[-1] == "**":
        return ends_as(path[:-1], place) or (bool(place) and ends_as(path, place[:-1]))
    if not place:
        return False
    if isinstance(place[-1], int) and ends_as(path, place[:-1]):
        return True
    return matches(path[-1], place[-1]) and ends_as(path[:-1], place[:-1])


def is_listed(path: Path, place: Place) -> bool:
    """Whether the path matches the position or one that contains it."""
    return any(ends_as(path, place[:end]) for end in range(1, len(place) + 1))


@example(document={"a": None, "ab": False}, paths=[("a",), ("a*", "a")], pretty=False)
@given(document=DOCUMENTS, paths=st.lists(PATHS, max_size=4), pretty=st.booleans())
def test_what_is_listed_goes_and_all_else_stays(
    document: Any, paths: list[Path], *, pretty: bool
) -> None:
    """Leaf by leaf, by the plain definition; the original is not changed.

    Redacting again changes nothing more: so a retry, and an event that is shown, are unchanged.
    """
    read = read_json(json.dumps(document, indent=2 if pretty else None).encode())
    before = deepcopy(read.value)
    redaction = Redaction(Rules(by_name=False, paths=tuple(paths)))

    after = redaction.of(read)
    twice = redaction.of(read_json(after.text.encode()))

    assert read.value == before
    assert (twice.value, twice.hidden) == (after.value, ())
    assert after.value == json.loads(after.text)
    for (place, old), (new_place, new) in zip(
        leaves_of(before), leaves_of(after.value), strict=True
    ):
        listed = any(is_listed(path, place) for path in paths)
        is_empty = isinstance(old, dict | list)
        assert new_place == place
        assert new == (REDACTED if listed and not is_empty and old is not None else old)


def digits_of(text: str) -> Any:
    """A document with each number as the text that it is written in."""
    return json.loads(text, parse_float=str, parse_int=str)


@given(text=JSON_TEXTS)
def test_numbers_keep_their_digits(text: str) -> None:
    """Values beside a hidden one are written unchanged, whatever Python makes of them."""
    try:
        kept = read_json(f'{{"kept":{text},"gone":"x"}}'.encode())
    except (NotJsonError, TooDeepError):
        return

    after = redaction_by("gone").of(kept)

    assert digits_of(after.text) == {**digits_of(kept.text), "gone": REDACTED}


@given(text=JSON_TEXTS)
def test_the_quick_way_writes_what_the_exact_way_writes(text: str) -> None:
    """A document that orjson writes unchanged is written from its value, else digit by digit."""
    try:
        kept = read_json(f'{{"kept":{text},"gone":"x", "url":"x://a:b@c"}}'.encode())
    except (NotJsonError, TooDeepError):
        return
    redaction = redaction_by("defaults,gone")

    exact = redaction.of(JsonText(kept.value, kept.text, kept.altered))

    assert redaction.of(kept) == exact


#: Ways to put a value into a larger one: each keeps it readable.
WRAPS = st.sampled_from(
    [
        lambda inner: {"a": inner, "b": 1.50},
        lambda inner: ["x", inner, None],
        lambda inner: {"arguments": json.dumps(inner)},
        lambda inner: {"arguments": json.dumps(inner, indent=1)},
        lambda inner: json.dumps(inner, ensure_ascii=False, separators=(",", ":")),
        lambda inner: [json.dumps(inner, separators=(",", ":"))],
        lambda inner: {"maxTokens": 5, "result": {"content": [{"text": inner}]}},
    ]
)
URLS = st.sampled_from(
    [
        "https://ada:{}@host.example/path",
        "https://{}@host.example",
        "postgresql://ada:pa/{}@db:5432/shop",
        "see wss://host.example:443/x?token={} and go on",
        "https://host.example/?a=1&access_token={}#end",
        "https://host.example/#id_token={}",
        "https://s3.example/a.wav?X-Amz-Credential={}&X-Amz-Date=1&X-Amz-Signature={}",
        "https://host.example/login?next=https%3A%2F%2Fx.example%2F%3Fapi_key%3D{}",
        "https://maps.example/?key={}",
    ]
)


@given(
    name=st.sampled_from(SECRETS),
    url=URLS,
    in_url=st.booleans(),
    wraps=st.lists(WRAPS, max_size=7),
    beside=DOCUMENTS,
)
def test_a_secret_at_any_depth_under_any_name_is_hidden(
    name: str, url: str, wraps: list[Any], beside: Any, *, in_url: bool
) -> None:
    """In objects, lists and JSON within texts, and in URLs; redacting again changes nothing."""
    secret = {"value": url.replace("{}", CANARY)} if in_url else {name: CANARY, "beside": beside}
    document: Any = secret
    for wrap in wraps:
        document = wrap(document)

    once = redacted({"message": document, "beside": beside})
    twice = DEFAULT_REDACTION.of(read_json(once.text.encode()))

    assert CANARY not in once.text
    assert REDACTED in once.text
    assert any(CANARY in text for text in once.hidden)
    assert once.value == json.loads(once.text)
    assert (twice.text, twice.hidden) == (once.text, ())


ORDINARY_TEXTS = st.text(max_size=8) | st.sampled_from(
    ["https://host.example/a@b?x=1", "https://host.example:8443/#top", '{"date": "1.0", "n": 1.0}',
     "[not json", '"', "{}", '{"a":', "ada@host.example", "token=x", "a://", "://", "[1.50]"]
)  # fmt: skip
ORDINARY_DOCUMENTS = st.recursive(
    LEAVES | ORDINARY_TEXTS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*ORDINARY, *NAMES, "value"]), inner, max_size=5)
    ),
    max_leaves=30,
)


@given(document=ORDINARY_DOCUMENTS, indent=st.none() | st.just(1))
def test_a_document_without_secrets_stays_byte_for_byte(document: Any, indent: int | None) -> None:
    """The document is not even copied."""
    read = read_json(json.dumps(document, indent=indent).encode())

    after = DEFAULT_REDACTION.of(read)

    assert after.value is read.value
    assert after.text == read.text
    assert after.hidden == ()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"tokens": 7, "pwd": True, "jwt": None}, {"tokens": 7, "pwd": True, "jwt": None}),
        ({"tokens": ["a", 1]}, {"tokens": [REDACTED, REDACTED]}),
        ({"pin": 1234}, {"pin": REDACTED}),
        ({"headers": {"n": [True, 5, None]}}, {"headers": {"n": [REDACTED, REDACTED, None]}}),
        (
            [{"name": "X-API-Key", "value": "a"}, {"key": "size", "value": "b"}],
            [{"name": "X-API-Key", "value": REDACTED}, {"key": "size", "value": "b"}],
        ),
        ({"url": "https://u:pw@h/?a=1"}, {"url": f"https://{REDACTED}@h/?a=1"}),
        ({"url": "https://h?token=abc&b=1"}, {"url": f"https://h?token={REDACTED}&b=1"}),
        ({"url": "https://h?token=&b=1"}, {"url": "https://h?token=&b=1"}),
        ({"a": ' {"jwt": "x", "n": 1.10}'}, {"a": f'{{"jwt":"{REDACTED}","n":1.10}}'}),
        ({"a": '{"jwt":NaN,"n":NaN}'}, {"a": f'{{"jwt":"{REDACTED}","n":NaN}}'}),
        ({"a": '{"jwt":"x","jwt":null}'}, {"a": '{"jwt":null}'}),
        ({"a": '{"jwt":"x\ny"}'}, {"a": f'{{"jwt":"{REDACTED}"}}'}),
    ],
)  # fmt: skip
def test_what_stays_beside_a_secret(document: Any, expected: Any) -> None:
    """Booleans, counts, names, hosts and digits."""
    assert redacted(document).value == expected


def test_exceptions_come_before_names_and_paths() -> None:
    """Also within something that is hidden."""
    document = {"keyPoints": 1, "clientSecret": "a", "x": {"client_secret": {"jwt": "b", "n": "c"}}}

    after = redacted(document, "defaults,keyPoints,-x.clientSecret")
    headers = redacted({"headers": {"X-Request-Id": "a", "b": "c"}}, "defaults,-x-request-id")

    assert after.value == {
        "keyPoints": REDACTED,
        "clientSecret": REDACTED,
        "x": {"client_secret": {"jwt": REDACTED, "n": "c"}},
    }
    assert headers.value == {"headers": {"X-Request-Id": "a", "b": REDACTED}}


def test_what_is_hidden_is_known_in_its_parts() -> None:
    """A message of an error may quote a part alone."""
    document = {
        "headers": '{"Authorization":"Bearer abc"}',
        "url": "https://ada:p%40ss@h/?token=t%20t",
    }

    assert {"Bearer abc", "ada:p%40ss", "p%40ss", "p@ss", "t%20t", "t t"} <= set(
        redacted(document).hidden
    )


@pytest.mark.parametrize("name", ["secret", "presignedAnythingUrl", r"secr\u0065t"])
def test_an_escaped_or_new_name_is_not_a_way_around(name: str) -> None:
    """A key has the same meaning, however it is spelled."""
    body = f'{{"message":{{"artifact":{{"{name}":["canary",7]}}}}}}'.encode()

    after = DEFAULT_REDACTION.of(read_json(body))

    assert "canary" not in after.text
    assert after.hidden == ("canary", "7")


def test_what_is_too_deep_to_look_into_is_hidden() -> None:
    """A text nested in texts, or one of a thousand levels. Nothing fails."""
    texts: Any = {"secret": CANARY}
    for _ in range(12):
        texts = json.dumps(texts)
    levels = '{"a":' * 900 + f'{{"secret":"{CANARY}"}}' + "}" * 900
    encoded = f"x://h?secret={CANARY}"
    for _ in range(12):
        encoded = f"x://h?u={encoded.replace('%', '%25').replace(':', '%3A').replace('/', '%2F')}"
    deep: Any = {"secret": CANARY}
    for number in range(250):
        deep = {"value": deep, "name": "a"} if number % 2 else [deep]

    for document in (texts, levels, "[" * 100_000, encoded, deep):
        after = redacted({"a": document})

        assert CANARY not in after.text
        assert after.text.count(REDACTED) == 1


@given(name=st.sampled_from(SECRETS), value=st.text(max_size=5))
def test_unreadable_bytes_may_name_a_secret(name: str, value: str) -> None:
    """Such a body is not stored."""
    if name.isascii():
        assert DEFAULT_REDACTION.may_be_in(f'{{"{name}":{json.dumps(value)}'.encode())
    assert not DEFAULT_REDACTION.may_be_in(b'{"transcript":"Hello"')


def test_many_new_names_are_checked_only_quickly() -> None:
    """In one document; a secret among them is hidden nevertheless."""
    redaction = redaction_by("defaults")
    many = {f"authorizationType{number}": number for number in range(9_000)}
    last = b'{"authorizationType8999":1}'
    before = redaction.of(read_json(last))

    after = redaction.of(read_json(json.dumps({**many, "a_secret_of_ours": CANARY}).encode()))

    assert CANARY not in after.text
    assert before.hidden == redaction.of(read_json(last)).hidden == ()
