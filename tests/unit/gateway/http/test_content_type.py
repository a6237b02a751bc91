import pytest

from services.gateway.http.lenient_body import is_json


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
