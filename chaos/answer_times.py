"""How long clients waited for the answers that said yes. Pure."""

import math
from collections.abc import Iterable

from chaos.load.ledger import Offered


def percentile_s(
    offers: Iterable[Offered],
    percent: float,
    *,
    since: float = -math.inf,
    until: float = math.inf,
) -> float | None:
    """Give the time in which so many per cent of the accepted were answered; None if none was.

    Of those that were sent between the two moments, in seconds since 1970.
    """
    waits = sorted(
        offer.answered_at - offer.sent_at
        for offer in offers
        if offer.is_accepted and offer.answered_at is not None and since <= offer.sent_at <= until
    )
    if not waits:
        return None
    return waits[max(0, math.ceil(len(waits) * percent / 100) - 1)]
