import json

import pytest

from ringback.contract.event import InvalidEvent
from services.gateway.http import rejection
from services.gateway.http.rejection import Rejection
from services.gateway.storage.result import PublishOutcome

ALL = [
    *(value for value in vars(rejection).values() if isinstance(value, Rejection)),
    *(rejection.invalid_event(why) for why in InvalidEvent),
    *(rejection.not_stored(outcome) for outcome in PublishOutcome),
]


@pytest.mark.parametrize("one", ALL, ids=[one.reason for one in ALL])
def test_is_a_problem_document(one: Rejection) -> None:
    """Every rejection has the members of RFC 9457, a sentence, and the headers of its status."""
    document = json.loads(one.body())

    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == one.status
    assert document["detail"].endswith(".")
    needed = {401: "WWW-Authenticate", 405: "Allow", 503: "Retry-After"}.get(one.status)
    assert [name for name, _ in one.headers] == ([needed] if needed else [])
