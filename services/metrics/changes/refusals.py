"""Why a decision on a webhook cannot be made, in the words of the API."""

from uuid import UUID

from services.metrics.api.errors import ApiError, no_such_delivery, precondition


def refusal(verdict: str, job_id: UUID, new_id: UUID | None) -> ApiError:
    """`verdict` is a result of `retry_webhook`, `run_duplicate_webhook` or `discard_webhook`.

    `new_id` is the webhook that the retry created, if there was one. Raises ValueError for an
    unknown verdict.
    """
    match verdict:
        case "not_found":
            return no_such_delivery(job_id)
        case "not_dead":
            return precondition("NOT_A_DEAD_LETTER", "The webhook is not a dead letter.", job_id)
        case "not_duplicate":
            return precondition("NOT_A_DUPLICATE", "The webhook is not a duplicate.", job_id)
        case "already_retried":
            return precondition(
                "ALREADY_RETRIED",
                f"The webhook was retried already, as {new_id}.",
                job_id,
                newJobId=str(new_id),
            )
        case "discarded":
            return precondition("DISCARDED", "The dead letter was discarded.", job_id)
        case "not_retryable":
            return precondition(
                "NOT_RETRYABLE",
                "It came from no gateway or is no event, so there is nothing to process again.",
                job_id,
            )
        case _:
            raise ValueError(verdict)
