"""Retry runs: what one would do, its progress, and its result."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ringback.metrics.enum_words import numbers_of
from ringback.metrics.point_in_time import read_point_in_time
from ringback.metrics.v1.admin_service_pb2 import (
    CreateRetryRunRequest,
    CreateRetryRunResponse,
    DeadLetterFilter,
    GetRetryRunRequest,
    GetRetryRunResponse,
    ListRetryRunsRequest,
    ListRetryRunsResponse,
    PauseRetryRunRequest,
    PauseRetryRunResponse,
    ResumeRetryRunRequest,
    ResumeRetryRunResponse,
    RetryRunKind,
    StopRetryRunRequest,
    StopRetryRunResponse,
)
from ringback.services.metrics.commands.retry_run_rules import DEFAULT_RATE
from ringback.services.metrics.console.page import Page, Redirect, Route, Visit
from ringback.services.metrics.console.views.query import fixed_time
from ringback.services.metrics.console.views.same_call import body, command
from ringback.services.metrics.console.views.text import short_id
from ringback.services.metrics.transport.errors import ApiError, Violation, invalid

_TEXTS = {"type": "event_type", "error": "error_class", "call": "call_id", "org": "org_id"}
_TIMES = {"since": "start_time", "until": "end_time"}
_NUMBERS = {"limit": int, "rate": float, "stop": int}
_NUMBER_FIELDS = {"limit": "limit", "rate": "rate_per_second", "stop": "stop_after_failures"}
_NAMES = ("kind", *_TEXTS, *_TIMES, *_NUMBERS)


@dataclass(frozen=True, slots=True)
class Input:
    """A field of the form."""

    name: str
    label: str
    example: str = ""
    size: int = 24


_TYPE, _SINCE = (
    Input("type", "Event type"),
    Input("since", "Accepted since", "2h, or 2026-01-27T06:30"),
)
_PACE = (
    Input("until", "Accepted before", "now"),
    Input("limit", "At most", "1000", 8),
    Input("rate", "Per second, at most", f"{DEFAULT_RATE:.0f}", 8),
    Input("stop", "Stop after failures", "3", 8),
)
_INPUTS = (_TYPE, Input("error", "Error class"), Input("call", "Call id"), _SINCE, *_PACE)
_REPLAY_INPUTS = (
    *(replace(one, label=f"{one.label} (required)") for one in (_TYPE, _SINCE)),
    *_PACE,
)
_BOXES = {"replays": "include_replays", "dedup": "override_dedup"}
_CHANGES: Mapping[str, tuple[type[Any], type[Any]]] = {
    "pause": (PauseRetryRunRequest, PauseRetryRunResponse),
    "resume": (ResumeRetryRunRequest, ResumeRetryRunResponse),
    "stop": (StopRetryRunRequest, StopRetryRunResponse),
}


async def runs(visit: Visit) -> Page:
    request = ListRetryRunsRequest(page_size=20, page_token=visit.query.get("after", ""))
    return Page(
        "runs.html", "Retry runs", {"found": await visit.ask(request, ListRetryRunsResponse)}
    )


async def new(visit: Visit) -> Page:
    """What a run with the fields of the URL would do; nothing is changed."""
    now = datetime.now(UTC)
    preview: CreateRetryRunResponse | ApiError | None = None
    rate = 0.0
    request: CreateRetryRunRequest | None = None
    try:
        request = run_request(visit.query, now)
    except ApiError as error:
        preview = error
    else:
        request.dry_run = True
        rate = request.rate_per_second or DEFAULT_RATE
        if not _is_empty_replay(request):
            preview = await visit.try_to_ask(request, CreateRetryRunResponse)
    fields = {name: visit.query.get(name, "") for name in (*_NAMES, *_BOXES)}
    fixed = _fixed(fields, now)
    data = {
        "inputs": _REPLAY_INPUTS if fields["kind"] == "completed" else _INPUTS,
        "fields": fields,
        "fixed": fixed,
        "preview": preview,
        "rate": rate,
        "command": _command(fixed),
        "body": request and body(request),
    }
    return Page("run_new.html", "New retry run", data)


async def create(visit: Visit) -> Redirect:
    request = run_request(visit.form, datetime.now(UTC))
    request.reason = visit.form.get("reason", "")
    request.request_id = visit.form.get("request_id", "")
    answer = await visit.ask(request, CreateRetryRunResponse)
    return Redirect(f"/runs/{answer.run.run_id}")


async def run(visit: Visit) -> Page:
    request = GetRetryRunRequest(run_id=visit.variables["run_id"])
    answer = await visit.ask(request, GetRetryRunResponse)
    return Page("run.html", f"Retry run {short_id(request.run_id)}", {"run": answer.run})


async def change(visit: Visit) -> Redirect:
    """Pause, resume or stop a run."""
    run_id = visit.variables["run_id"]
    kinds = _CHANGES.get(visit.form.get("change", ""))
    if kinds is None:
        raise invalid(Violation("change", "Choose to pause, resume or stop the run."))
    request, answer = kinds
    await visit.ask(request(run_id=run_id, reason=visit.form.get("reason", "")), answer)
    return Redirect(f"/runs/{run_id}")


def run_request(fields: Mapping[str, str], now: datetime) -> CreateRetryRunRequest:
    """The request of a form. Raises ApiError INVALID_ARGUMENT that names the field of the form."""
    request = CreateRetryRunRequest(filter=_filter(fields, now))
    if kind := fields.get("kind", ""):
        number = numbers_of(RetryRunKind.DESCRIPTOR).get(kind)
        if number is None:
            raise invalid(Violation("kind", f"There is no kind {kind}."))
        request.kind = RetryRunKind.ValueType(number)
    for name, read in _NUMBERS.items():
        if text := fields.get(name, "").strip():
            try:
                setattr(request, _NUMBER_FIELDS[name], read(text))
            except (ValueError, OverflowError):
                raise invalid(Violation(name, f"{text} is not a number for {name}.")) from None
    for name, field in _BOXES.items():
        setattr(request, field, bool(fields.get(name)))
    return request


def _filter(fields: Mapping[str, str], now: datetime) -> DeadLetterFilter:
    wanted = DeadLetterFilter()
    for name, field in _TEXTS.items():
        setattr(wanted, field, fields.get(name, "").strip())
    for name, field in _TIMES.items():
        if text := fields.get(name, "").strip():
            moment = read_point_in_time(text, now)
            if moment is None:
                sentence = f"{text} is not a time. Use 2026-01-27T06:30 (UTC), or 2h."
                raise invalid(Violation(name, sentence))
            getattr(wanted, field).FromDatetime(moment)
    return wanted


def _command(fields: Mapping[str, str]) -> str:
    """The command that shows the same preview."""
    names = {"type": "event_type", "error": "error_class", "call": "call_id", "org": "org"}
    selected = {option: fields[name] for name, option in names.items()}
    selected |= {name: fields[name] for name in _TIMES}
    pace = {name: fields[name] for name in ("limit", "rate")}
    if fields["kind"] != "completed":
        every = [] if any(selected.values()) else ["--all"]
        return command("dead", "retry", "--detach", "--dry-run", *every, **selected, **pace)
    del selected["error_class"]
    flags = {"replays": "--include-replays", "dedup": "--override-dedup"}
    given = [flag for name, flag in flags.items() if fields[name]]
    return command("runs", "replay", "--dry-run", *given, **selected, **pace)


def _is_empty_replay(request: CreateRetryRunRequest) -> bool:
    """Whether what a replay needs is not filled in yet."""
    is_replay = request.kind == RetryRunKind.RETRY_RUN_KIND_COMPLETED
    return is_replay and not (request.filter.event_type and request.filter.HasField("start_time"))


def _fixed(fields: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The fields with absolute times, so that the run does what its preview shows."""
    return {
        name: fixed_time(text, now) if name in _TIMES else text for name, text in fields.items()
    }


ROUTES = (
    Route("GET", "/runs", runs),
    Route("POST", "/runs", create),
    Route("GET", "/runs/new", new),
    Route("GET", "/runs/{run_id}", run),
    Route("POST", "/runs/{run_id}", change),
)
