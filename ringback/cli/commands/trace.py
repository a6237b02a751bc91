from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
from cyclopts import App, Parameter

from ringback.cli.client.job_ids import ambiguous, job_id_range
from ringback.cli.terminal import CommandError, JsonFlag, out, write_json
from ringback.cli.trace.spans import (
    RecordedSpan,
    TraceSection,
    family_of,
    jobs_between,
    read_spans,
    trace_files,
    trace_sections,
)
from ringback.cli.trace.view import headline, print_sections, trace_document
from ringback.local.stack_service import TRACE_FILE
from ringback.runtime.process.settings import TraceSettings, load

_EXAMPLES = """Examples:

    ringback trace 01a20ae5-092a-7231-b1cb-a72e977205ad
    ringback trace 01a20ae5-092a              the beginning of an id is enough
    ringback trace 01a20ae5-092a --json
"""

trace = App(name="trace", help_epilogue=_EXAMPLES)


@trace.default
def _trace(
    job: str,
    /,
    *,
    file: Annotated[Path | None, Parameter(show_default=False)] = None,
    json: JsonFlag = False,
    data: Path = Path(".ringback"),
) -> None:
    """Show the recorded spans of one webhook: its attempts, delays and retries.

    The services of this machine append their spans to a file, and this command reads it.

    Parameters
    ----------
    job
        The job id, or its beginning.
    file
        The file with the spans. [default: RINGBACK_TRACE_FILE, else that of `ringback up`]
    json
        Print the spans as JSON.
    data
        The data folder of `ringback up`.
    """
    path = file or load(TraceSettings).trace_file or data / TRACE_FILE
    spans = _spans_in(path)
    if not json:
        spans = [span.printable() for span in spans]
    job_id = _resolve_job(job, spans, path)
    sections = trace_sections(family_of(job_id, spans), spans)
    if json:
        write_json(orjson.dumps(trace_document(job_id, sections)))
    else:
        _print(job_id, sections)


def _spans_in(path: Path) -> list[RecordedSpan]:
    files = trace_files(path)
    if not files:
        raise CommandError(
            f"There is no trace file {path}. `ringback up` writes one; for other services, set "
            "RINGBACK_TRACE_FILE for the services and for this command."
        )
    try:
        return [span for one in files for span in read_spans(one)]
    except OSError as exc:
        raise CommandError(f"{path} cannot be read: {exc.strerror}.") from exc


def _resolve_job(job: str, spans: list[RecordedSpan], path: Path) -> str:
    match jobs_between(*job_id_range(job), spans):
        case [job_id]:
            return job_id
        case []:
            raise CommandError(
                f"There are no spans of a webhook {job} in {path}. Services write spans within two "
                "seconds, and the file keeps only the newest."
            )
        case several:
            raise ambiguous(job, [_candidate(one, spans) for one in several])


def _candidate(job_id: str, spans: list[RecordedSpan]) -> str:
    sections = trace_sections(frozenset({job_id}), spans)
    first_ns = min(section.tree.span.started_ns for section in sections)
    arrived = datetime.fromtimestamp(first_ns / 1e9, UTC)
    return f"{headline(job_id, sections).plain}  {arrived:%Y-%m-%d %H:%M:%S}"


def _print(job_id: str, sections: list[TraceSection]) -> None:
    console = out()
    console.print(headline(job_id, sections))
    console.print()
    print_sections(console, job_id, sections)
