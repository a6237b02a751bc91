"""docs/problems.md has a section for each type of problem, and each type leads to its section."""

import inspect
import re
from uuid import UUID

import grpc
import orjson

from ringback.contract.event import InvalidEvent
from ringback.contract.problems import PAGE
from ringback.services.gateway.http import rejection
from ringback.services.gateway.http.rejection import KEYS_UNAVAILABLE, Rejection
from ringback.services.metrics.transport import problem as transport_problem
from ringback.services.metrics.transport.errors import (
    ApiError,
    Reason,
    already_retried,
    precondition,
)
from ringback.services.metrics.transport.problem import problem, status_of
from tests.architecture.source import ROOT

JOB = UUID(int=1)
PROBLEMS: dict[str, list[Rejection]] = {
    "unauthenticated": [
        rejection.unauthenticated(reason, "acme") for reason in ("wrong_secret", KEYS_UNAVAILABLE)
    ],
    "endpoint_disabled": [rejection.endpoint_disabled("acme")],
    "event_type_not_allowed": [rejection.event_type_not_allowed("acme", "hang")],
    "wrong_network": [rejection.wrong_network("acme", None)],
    "invalid_event": [rejection.invalid_event(error) for error in InvalidEvent],
    "not_stored": [rejection.not_stored("spool_full")],
}
"""What each function that makes a rejection can make."""

#: These make no problems: for tokens, RFC 6749 has another form. The first makes some of the above.
OTHERS = {"forbidden", "client_refused", "token_refused"}


def type_of(rejected: Rejection) -> str:
    return str(orjson.loads(rejected.body())["type"])


def test_every_type_has_its_section() -> None:
    """And there is no other section."""
    rejections = [one for one in vars(rejection).values() if isinstance(one, Rejection)]
    rejections += [one for made in PROBLEMS.values() for one in made]
    types = {type_of(one) for one in rejections}
    types |= {
        problem(ApiError(grpc.StatusCode.INTERNAL, reason, "A sentence."))["type"]
        for reason in Reason
    }
    page = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (\w+)$", page, re.MULTILINE)

    assert sorted(types) == sorted(f"{PAGE}#{section}" for section in sections)


def test_no_function_makes_another_problem() -> None:
    """One that is not in these tables could have a type without a section."""
    makers = {
        name
        for name, one in inspect.getmembers(rejection, inspect.isfunction)
        if inspect.signature(one).return_annotation is Rejection and not name.startswith("_")
    }

    assert makers == PROBLEMS.keys() | OTHERS


def test_the_metrics_api_has_a_table_of_its_reasons() -> None:
    """With the statuses that callers get."""
    page = (ROOT / "docs" / "metrics-api.md").read_text(encoding="utf-8")
    table = page.partition("| reason | HTTP |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()[2:]]
    listed = {reason: row[2] for row in rows for reason in re.findall(r"`(\w+)`", row[1])}

    assert listed.keys() == set(Reason)
    for error in vars(transport_problem).values():
        if isinstance(error, ApiError):
            assert listed[error.reason] == str(status_of(error).value)
    assert listed["ALREADY_RETRIED"] == str(status_of(already_retried(JOB, JOB)).value)
    assert listed["DISCARDED"] == str(status_of(precondition(Reason.DISCARDED, "", JOB)).value)
