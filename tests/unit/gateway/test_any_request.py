"""Parsing any request raises nothing, and no guess passes authentication."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ringback.contract.event import InvalidEvent, read_event
from services.gateway.endpoints import Endpoint
from services.gateway.events.dedup_key import MAX_KEY_LENGTH
from services.gateway.events.metadata import EventMetadata, parse_metadata
from services.gateway.http.body import compression_layers
from services.gateway.http.lenient_body import is_json, recover_event
from tests.unit.contract.json_documents import ANY_BYTES

SECRETS = (b"the-first-secret", "ein zweites Geheimnis: ü".encode())
#: As aiohttp decodes what came: UTF-8, and what is none as surrogates.
AS_READ = st.binary(max_size=40).map(lambda raw: raw.decode(errors="surrogateescape"))
GUESSES = AS_READ | st.sampled_from([secret.decode() for secret in SECRETS]).flatmap(
    lambda secret: st.sampled_from(
        [secret[:-1], secret + "x", secret.upper(), secret[::-1], f"{secret}\x00", f"x{secret}"]
    )
)
NAMES = st.sampled_from(["X-Vapi-Secret", "Authorization", "authorization", "Proxy-Authorization"])
SCHEMES = st.sampled_from(["", "Bearer ", "bearer ", "Basic ", "Bearer", "Bearer\t"])
HEADERS: st.SearchStrategy[CIMultiDict[str]] = st.lists(
    st.tuples(NAMES, st.builds(str.__add__, SCHEMES, GUESSES)), max_size=4
).map(CIMultiDict)


@given(headers=HEADERS)
def test_a_guess_is_rejected(headers: CIMultiDict[str]) -> None:
    """Near matches, other schemes and repeated headers do not help."""
    endpoint = Endpoint("default", UUID(int=1), SECRETS)

    assert endpoint.authenticate(headers) is not None


@given(headers=HEADERS, secret=st.sampled_from(SECRETS))
def test_the_secret_is_accepted_beside_any_other_header(
    headers: CIMultiDict[str], secret: bytes
) -> None:
    """Other headers do not matter."""
    headers["X-Vapi-Secret"] = secret.decode()

    assert Endpoint("default", UUID(int=1), SECRETS).authenticate(headers) is None


@given(text=st.none() | AS_READ | st.text(), body=ANY_BYTES)
def test_any_content_type_and_encoding_is_handled(text: str | None, body: bytes) -> None:
    """Without an error, with any body."""
    assert is_json(text) in {True, False}
    assert compression_layers([] if text is None else [text]) in {None, 0, 1, 2, 3}
    assert recover_event(body, text) != body


def what_is_read(body: bytes) -> Any:
    event = read_event(body)
    return event if isinstance(event, InvalidEvent) else (event.type, event.call_id)


@given(body=ANY_BYTES)
def test_any_body_has_metadata_or_an_error(body: bytes) -> None:
    """The same as with the full parser, and a key that the log can store."""
    head = parse_metadata(body)

    assert (head if isinstance(head, InvalidEvent) else (head.type, head.call_id)) == what_is_read(
        body
    )
    if isinstance(head, EventMetadata) and head.dedup_key is not None:
        assert head.dedup_key.isascii()
        assert len(head.dedup_key) <= MAX_KEY_LENGTH
