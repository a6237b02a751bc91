"""How long clients waited until a webhook was accepted. Pure."""

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
    """Give the answer time below which this percentage of accepted requests is; None without any.

    Only those sent between the two moments, in seconds since 1970.
    """
    waits = sorted(
        offer.answered_at - offer.sent_at
        for offer in offers
        if offer.is_accepted and offer.answered_at is not None and since <= offer.sent_at <= until
    )
    if not waits:
        return None
    return waits[max(0, math.ceil(len(waits) * percent / 100) - 1)]
