"""Whether a bulk retry ends early."""

from services.metrics.api.errors import ApiError


def why_stop(
    *, failed_again: int, stop_after: int, broker_is_there: bool, is_stopping: bool
) -> str | None:
    """Why nothing more is retried, as a sentence; None to continue."""
    if failed_again >= stop_after:
        return f"Stopped: {failed_again} of the webhooks that were retried failed again."
    if not broker_is_there:
        return "Stopped: the broker cannot be reached."
    if is_stopping:
        return "Stopped: the service is being stopped; ask again for the rest."
    return None


def why_stop_after(error: ApiError) -> str:
    """The same for an error after which a run cannot continue."""
    return f"Stopped: {error.message}"
