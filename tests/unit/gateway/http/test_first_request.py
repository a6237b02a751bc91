import pytest

from services.gateway.http.connection import extract_first_request

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
GOOD = HEAD + b"\r\n{}"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (GOOD, None),
        (GOOD[:-1], None),
        (HEAD, None),
        (b"\x16\x03\x01", None),
        (GOOD + b"\0", (GOOD, True)),
        (GOOD + GOOD, (GOOD, True)),
        (HEAD + b"ETag: a\r\netag: b\r\n\r\n{}", (HEAD + b"ETag: a\r\n\r\n{}", False)),
        (HEAD + b"ETag: a\r\netag: b\r\n\r\n{", (HEAD + b"ETag: a\r\n\r\n{", False)),
        (b"GET / HTTP/1.1\r\n\r\nx", (b"GET / HTTP/1.1\r\n\r\n", True)),
    ],
)
def test_the_first_request_is_found(data: bytes, found: tuple[bytes, bool] | None) -> None:
    assert extract_first_request(data) == found


@pytest.mark.parametrize("line", [b"Host: y", b"Content-Length: 3", b"Transfer-Encoding: chunked"])
def test_headers_that_affect_where_a_request_ends_are_kept(line: bytes) -> None:
    """The parser rejects such a request again."""
    found = extract_first_request(HEAD + line + b"\r\n\r\n{}+")

    assert found is None or line in found[0]
    assert HEAD in (found[0] if found else HEAD)
