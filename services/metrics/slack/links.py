import re
from dataclasses import dataclass

from services.metrics.slack.settings import TRACE_ID_PLACE

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Links:
    """Links in messages. Those that are not configured are left out."""

    trace_url_template: str | None = None
    dashboard_url: str | None = None

    def trace_of(self, trace_id: str | None) -> str | None:
        """The URL of a trace; None without a trace or a trace viewer."""
        if self.trace_url_template is None or not trace_id or not _TRACE_ID.fullmatch(trace_id):
            return None
        return self.trace_url_template.replace(TRACE_ID_PLACE, trace_id)
