"""Where well ends: the metrics API judges by these, alerts fire by them, dashboards draw them."""

from typing import Final

WAITING: Final = 100
"""Webhooks ready to be processed. Fewer are healthy, more raise an alert."""

FAILURE_RATIO: Final = 0.05
"""Of the webhooks of a day that were tried. Less is healthy, more raises an alert."""

DEAD_LETTERS: Final = 10
"""Dead letters that nobody has resolved. At most as many are healthy, more raise an alert."""

FINISH_SECONDS: Final = 60.0
"""From the acceptance of a webhook to its end; so soon it is to be finished."""

SUCCESS_RATIO: Final = 0.95
"""Of the webhooks that ended in an hour. More is healthy, less raises an alert."""

ATTEMPTS: Final = 2.0
"""Per webhook that ended in an hour, on average. Fewer are healthy, more raise an alert."""

OLDEST_SECONDS: Final = 600
"""Since the acceptance of a webhook that is not finished. Less is healthy, more raises an alert."""
