"""The output of `ringback trace --json`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ringback.cli.trace_story import Chapter, SpanTree


def story_document(job_id: str, chapters: Sequence[Chapter]) -> dict[str, Any]:
    """As values for orjson. `traces` are in time order; one trace may occur more than once."""
    return {
        "jobId": job_id,
        "jobIds": list(dict.fromkeys(one.job_id for one in chapters if one.job_id)),
        "traces": [
            {
                "traceId": one.tree.span.trace_id,
                "jobId": one.job_id or None,
                "waitedMs": None if one.waited_ns is None else max(0, one.waited_ns) / 1e6,
                "waitedIn": one.waited_in or None,
                "span": _span(one.tree),
            }
            for one in chapters
        ],
    }


def _span(tree: SpanTree) -> dict[str, Any]:
    span = tree.span
    began = datetime.fromtimestamp(span.began_ns / 1e9, UTC)
    return {
        "name": span.name,
        "kind": span.kind,
        "service": span.service,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id or None,
        "startedAt": began.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "durationMs": (span.ended_ns - span.began_ns) / 1e6,
        "isError": span.is_error,
        "attributes": dict(span.attributes),
        "links": [
            {"traceId": link.trace_id, "spanId": link.span_id, "relation": link.relation}
            for link in span.links
        ],
        "children": [_span(child) for child in tree.children],
    }
