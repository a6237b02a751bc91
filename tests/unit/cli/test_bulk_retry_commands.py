"""What `ringback dead retry` requests and shows when it retries many."""

import re
from typing import Any

import orjson
import pytest

from ringback.cli.app import run
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1.admin_service_pb2 import RetryRunState
from tests.unit.cli.metrics_answers import DEAD
from tests.unit.metrics_client.scripted_service import LastAnswerError, ScriptedService

Captured = pytest.CaptureFixture[str]


def progress(state: RetryRunState.ValueType, **numbers: int) -> admin.RetryDeliveriesResponse:
    return admin.RetryDeliveriesResponse(state=state, message="Said the service.", **numbers)


class Run:
    """A bulk retry that ends with `last`; a dry run counts 40."""

    def __init__(self, *answers: admin.RetryDeliveriesResponse) -> None:
        self.answers = iter(answers)

    def __call__(self, request: Any) -> admin.RetryDeliveriesResponse:
        if request.dry_run:
            return progress(RetryRunState.RETRY_RUN_STATE_DRY_RUN, matched=40)
        try:
            return next(self.answers)
        except StopIteration:
            raise LastAnswerError from None


def test_a_dry_run_only_counts(service: ScriptedService, capsys: Captured) -> None:
    """It needs no reason, and shows how long a real run would take."""
    service.answer = Run()

    status = run(["dead", "retry", "--error-class", "TimeoutError", "--dry-run"])

    assert status == 0
    assert capsys.readouterr().out == (
        "40 dead letters match. At 10 per second, that takes at least 4.0 s.\n"
    )
    assert all(request.dry_run for request in service.requests)
    assert service.requests[0].filter.error_class == "TimeoutError"


def test_many_are_not_retried_unasked(service: ScriptedService, capsys: Captured) -> None:
    """Without a terminal, --yes is required; a reason is required in any case."""
    service.answer = Run()

    unasked = run(["dead", "retry", "--all", "--reason", "All."])
    unreasoned = run(["dead", "retry", "--all", "--yes"])
    unnamed = run(["dead", "retry", "--reason", "All.", "--yes"])
    both = run(["dead", "retry", DEAD, "--all"])

    assert {unasked, unreasoned, unnamed, both} == {2}
    told = capsys.readouterr().err
    assert "Use --yes to retry without asking" in told
    assert "needs a reason" in told
    assert "--all for all dead letters" in told
    assert "not both" in told
    assert not service.requests


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RetryRunState.RETRY_RUN_STATE_FINISHED, 0),
        # It stopped because its retries failed again.
        (RetryRunState.RETRY_RUN_STATE_STOPPED, 1),
    ],
)
def test_many_are_retried_and_summed_up(
    state: RetryRunState.ValueType, status: int, service: ScriptedService, capsys: Captured
) -> None:
    """The status shows whether all matches were retried; the summary shows the rest."""
    running = progress(RetryRunState.RETRY_RUN_STATE_RUNNING, matched=40, retried=3)
    last = progress(state, matched=40, retried=7, completed=4, failed_again=3)
    service.answer = Run(running, last)

    ended = run(["dead", "retry", "--event-type", "hang", "--reason", "Fixed.", "--yes"])

    told = capsys.readouterr().out
    figures = dict(re.findall(r"^ *([a-z ]+?)  +(.*?) *$", told, re.MULTILINE))
    request = service.requests[0]
    assert ended == status
    assert figures["retried"] == "7"
    assert figures["failed again"] == "3"
    assert figures.get("ended") == (None if status == 0 else "Said the service.")
    assert (request.reason, request.limit, request.rate_per_second) == ("Fixed.", 1000, 10)


def test_json_follows_a_run_line_by_line(service: ScriptedService, capsys: Captured) -> None:
    """Each answer is a document, and there is nothing else on stdout."""
    running = progress(RetryRunState.RETRY_RUN_STATE_RUNNING, matched=2, retried=1)
    last = progress(RetryRunState.RETRY_RUN_STATE_FINISHED, matched=2, retried=2)
    service.answer = Run(running, last)

    status = run(["dead", "retry", "--all", "--reason", "All.", "--yes", "--json"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert [orjson.loads(line)["state"] for line in lines] == ["running", "finished"]
