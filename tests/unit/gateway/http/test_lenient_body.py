import codecs

import pytest

from ringback.services.gateway.http.lenient_body import is_json, recover_event

EVENT = '{"type":"hang","y":"ä€"}'
LATIN = '{"type":"hang","y":"ä"}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(codecs.BOM_UTF8 + EVENT.encode(), id="UTF-8 with a mark"),
        pytest.param(EVENT.encode("utf-16"), id="UTF-16 with a mark"),
        pytest.param(EVENT.encode("utf-16-le"), id="UTF-16-LE"),
        pytest.param(EVENT.encode("utf-16-be"), id="UTF-16-BE"),
        pytest.param(EVENT.encode("utf-32"), id="UTF-32 with a mark"),
        pytest.param(EVENT.encode("utf-32-be"), id="UTF-32-BE"),
        pytest.param(EVENT.encode() + b"\0", id="NUL at the end"),
        pytest.param(b"[" + EVENT.encode() + b"]\n", id="list of one"),
        pytest.param(b'"' + EVENT.replace('"', '\\"').encode() + b'"', id="JSON in a string"),
    ],
)
def test_an_event_is_recovered(body: bytes) -> None:
    assert recover_event(body, "application/json") == EVENT.encode()


@pytest.mark.parametrize(
    ("charset", "text"),
    [("iso-8859-1", LATIN), ('"Windows-1252"', EVENT), ("latin1", LATIN), ("utf-16-le", EVENT)],
)
def test_the_charset_of_the_content_type_is_used(charset: str, text: str) -> None:
    """Unless the bytes themselves show the charset."""
    body = text.encode(charset.strip('"'))

    assert recover_event(body, f"application/json; Charset={charset}") == text.encode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", None),
        (b"{", "application/json"),
        (b'{"type":"x","y":"\xff"}', "application/json"),
        (b'{"type":"x","y":"\xff"}', "application/json; charset=rot13"),
        (b'{"type":"x","y":"\xff"}', "application/json; charset=nothing"),
        (b'"\\ud800"', "application/json"),
    ],
)
def test_nothing_is_invented(body: bytes, content_type: str | None) -> None:
    """A list of two is not JSON without its brackets."""
    assert recover_event(body, content_type) is None
    assert recover_event(b"[{},{}]", None) == b"{},{}"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        (" Application/JSON ; charset=utf-8", True),
        ("application/problem+json", True),
        ("x/y.z+json;v=1", True),
        (None, False),
        ("", False),
        ("text/json", False),
        ("application/jsonx", False),
        ("application/json, text/plain", False),
        ("a/b/c+json", False),
        ("+json", False),
        ("application/json;" + "x" * 238, True),  # 255 bytes
        ("application/json;" + "x" * 239, False),
        ("application/json;" + "\u00e4" * 120, False),  # 257 bytes
        ("application/json;\udcff", True),  # Parameters are not checked.
    ],
)
def test_is_json(content_type: str | None, expected: bool) -> None:  # ruff: ignore[boolean-type-hint-positional-argument]  # a column of the table
    """JSON under any of its names, with parameters, in any case, up to 255 bytes."""
    assert is_json(content_type) is expected
