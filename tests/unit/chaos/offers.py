"""Offers and rows of the log for tests of the verdict, with defaults."""

from chaos.load.ledger import Offered
from chaos.verdict import Logged


def accepted(
    number: int, *, event: str = "", attempts: int = 1, is_written: bool = True
) -> Offered:
    """Sent at second `number`, answered a tenth later; its job id is `j<number>`."""
    return Offered(
        number=number,
        event=event or f"e{number}",
        is_written=is_written,
        attempts=attempts,
        sent_at=float(number),
        answered_at=number + 0.1,
        status=200,
        job_id=f"j{number}",
    )


def refused(number: int) -> Offered:
    return Offered(
        number=number,
        event=f"e{number}",
        is_written=True,
        attempts=1,
        sent_at=float(number),
        answered_at=number + 0.1,
        status=503,
    )


def unanswered(number: int) -> Offered:
    return Offered(
        number=number, event=f"e{number}", is_written=True, attempts=1, sent_at=float(number)
    )


def row(
    number: int,
    status: str = "completed",
    *,
    event: str = "",
    attempts: int = 1,
    completions: int | None = None,
    finished_at: float = 1.0,
) -> Logged:
    return Logged(
        job_id=f"j{number}",
        event=event or f"e{number}",
        status=status,
        attempts=attempts,
        completions=int(status == "completed") if completions is None else completions,
        finished_at=finished_at,
    )
