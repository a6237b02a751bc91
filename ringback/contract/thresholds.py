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
