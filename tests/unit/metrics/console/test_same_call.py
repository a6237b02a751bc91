"""The command and the REST call that give what a page shows."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.metrics.v1.metrics_service_pb2 import (
    ListChangesRequest,
    ListDeadLettersRequest,
    ListDeliveriesRequest,
)
from ringback.services.metrics.console.views.same_call import command, get_path
from ringback.services.metrics.transport.transcoding import read_query
from tests.unit.metrics.transport.any_message import messages

LISTS = [ListChangesRequest, ListDeadLettersRequest, ListDeliveriesRequest]


@given(st.sampled_from(LISTS).flatmap(messages))
def test_the_path_is_read_as_the_request_of_the_first_page(
    request: ListChangesRequest | ListDeadLettersRequest | ListDeliveriesRequest,
) -> None:
    path, _, query = get_path("list", request).partition("?")

    read = type(request)()
    read_query(parse_qsl(query, strict_parsing=bool(query)), read)
    request.page_size, request.page_token = 0, ""
    assert (path, read) == ("list", request)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, ""),
        ({"org": ""}, ""),
        ({"event_type": "a b", "since": "2h"}, " --event-type 'a b' --since 2h"),
        ({"call": "-c"}, " --call=-c"),
    ],
)
def test_a_command_has_the_options_that_are_set(options: dict[str, str], text: str) -> None:
    assert command("dead", "list", **options) == f"ringback dead list{text}"
