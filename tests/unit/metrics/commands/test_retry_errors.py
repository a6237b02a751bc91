from uuid import UUID

import grpc
import pytest

from services.metrics.commands.retry import error_for

JOB, NEW = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("not_dead", "NOT_A_DEAD_LETTER"),
        ("not_duplicate", "NOT_A_DUPLICATE"),
        ("already_retried", "ALREADY_RETRIED"),
        ("discarded", "DISCARDED"),
        ("not_retryable", "NOT_RETRYABLE"),
    ],
)
def test_each_verdict_has_its_reason(verdict: str, reason: str) -> None:
    """Programs branch on it, so it is stable."""
    error = error_for(verdict, JOB, NEW)

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert error.resource is not None
    assert error.resource.name == str(JOB)


def test_only_a_retry_has_a_new_job() -> None:
    """With the id of the retry."""
    assert error_for("already_retried", JOB, NEW).metadata == {"newJobId": str(NEW)}
    assert error_for("discarded", JOB, None).metadata == {}


def test_an_unknown_webhook_is_not_found() -> None:
    """With the requested id."""
    assert error_for("not_found", JOB, None).code == grpc.StatusCode.NOT_FOUND


def test_an_unknown_verdict_is_a_bug() -> None:
    """It is our error, not the caller's."""
    with pytest.raises(ValueError, match="perhaps"):
        error_for("perhaps", JOB, None)
