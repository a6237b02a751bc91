"""Health thresholds, shared by the metrics API, the alerts and the dashboards."""

from typing import Final

WAITING: Final = 100
"""Webhooks ready to be processed. Fewer are healthy, more raise an alert."""

FAILURE_RATIO: Final = 0.05
"""Share of a day's attempted webhooks. Less is healthy, more raises an alert."""

DEAD_LETTERS: Final = 10
"""Unresolved dead letters. This many or fewer are healthy, more raise an alert."""

FINISH_SECONDS: Final = 60.0
"""Target time from the acceptance of a webhook to its end."""

SUCCESS_RATIO: Final = 0.95
"""Share of the webhooks that ended in an hour. More is healthy, less raises an alert."""

ATTEMPTS: Final = 2.0
"""Average per webhook that ended in an hour. Fewer are healthy, more raise an alert."""

OLDEST_SECONDS: Final = 600
"""Time since the acceptance of an unfinished webhook. Less is healthy, more raises an alert."""

WAIT_OVERDUE_SECONDS: Final = 60
"""Time since the attempt of a waiting webhook was due. Less is healthy, more raises an alert."""

ORDER_STOPPED_SECONDS: Final = 300
"""Age of a turn that others of its call wait for. More raises an alert."""
