r"""The text of the search box: `type:hang status:failed since:2h "call id"`.

A term is `qualifier:value`, or a value alone: the beginning of a job id, or a call id. A value with
spaces is in double quotes; in these, `\"` and `\\` are a quote and a backslash.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from ringback.contract.identity import ids_beginning_with
from ringback.contract.utc_time import utc_text
from ringback.metrics.enum_words import numbers_of, words_of
from ringback.metrics.point_in_time import read_point_in_time
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesRequest
from ringback.services.metrics.console.views.same_call import command

QUALIFIERS = {
    "type": "Event type, such as end-of-call-report",
    "status": ", ".join(words_of(DeliveryStatus.DESCRIPTOR).values()),
    "call": "Call id",
    "error": "Error class of the last attempt, such as TimeoutError",
    "org": "Organisation, a UUID",
    "since": "Accepted at this time or later: 2h for two hours ago, or 2026-01-27T06:30 (UTC)",
    "until": "Accepted before this time",
    "job": "Job id or its beginning, at least 4 digits",
    "run": "Id of the retry run that made it",
}
"""The qualifiers, with a description of their values."""

_TEXT_FIELDS = {"type": "event_type", "call": "call_id", "error": "error_class"}
_MAX_TEXT = 2000
_UUID_CHARACTERS = 36
_VERSION_DIGIT = 12

_TERM = re.compile(
    r"""
    (?=\S) (?:(?P<name>[A-Za-z_-]+):)?
    (?: "(?P<quoted>(?:[^"\\]|\\.)*) (?: "(?=\s|\Z) | (?P<rest>"?\S*) )  |  (?P<plain>\S*) )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r'[^\s"]\S*')
_NAMED = re.compile(r"[A-Za-z_-]+:")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Term:
    """A value, its qualifier (empty if there is none) and its place in the text."""

    name: str
    value: str
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def qualifier(self) -> str:
        """Of a value alone, `job` or `call`."""
        return self.name or ("job" if _is_job(self.value) else "call")

    @property
    def text(self) -> str:
        is_plain = _PLAIN.fullmatch(self.value) and (self.name or not _NAMED.match(self.value))
        value = self.value
        if not is_plain:
            value = '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))
        return f"{self.name}:{value}" if self.name else value


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a part of the text is no term, with the place of the part."""

    message: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Query:
    """`request` is complete if there are no problems, and has no page size."""

    terms: tuple[Term, ...]
    problems: tuple[Problem, ...]
    request: ListDeliveriesRequest


def parse(text: str, now: datetime) -> Query:
    """Read a text; relative times count from `now`."""
    text = text.encode(errors="replace").decode()
    if len(text) > _MAX_TEXT:
        too_long = Problem(f"Use at most {_MAX_TEXT} characters.", _MAX_TEXT, len(text))
        return Query((), (too_long,), ListDeliveriesRequest())
    found = [_term_of(match) for match in _TERM.finditer(text)]
    terms = tuple(one for one in found if isinstance(one, Term))
    problems = [one for one in found if isinstance(one, Problem)]
    request = ListDeliveriesRequest()
    seen: set[str] = set()
    for term in terms:
        message = _again(term) if term.qualifier in seen else _read(term, request, now)
        seen.add(term.qualifier)
        if message:
            problems.append(Problem(message, term.start, term.end))
    problems.sort(key=lambda problem: problem.start)
    return Query(terms, tuple(problems), request)


def text_of(terms: Iterable[Term]) -> str:
    """The text that `parse` reads as these terms."""
    return " ".join(term.text for term in terms)


def with_fixed_times(terms: Iterable[Term], now: datetime) -> tuple[Term, ...]:
    """The terms with absolute times: the link to a next page needs the request of the first one."""
    return tuple(_fixed(term, now) for term in terms)


def command_of(terms: Iterable[Term]) -> str:
    """The command that lists the same."""
    return command("delivery", "list", **{term.qualifier: term.value for term in terms})


def _term_of(match: re.Match[str]) -> Term | Problem:
    name, plain, quoted = (match["name"] or "").lower(), match["plain"], match["quoted"]
    if match["rest"] is not None:
        is_closed = match["rest"].startswith('"')
        message = 'Put a space after the closing ".' if is_closed else 'The closing " is missing.'
    elif name and name not in QUALIFIERS:
        *most, last = QUALIFIERS
        message = (
            f"There is no qualifier {name}. Use {', '.join(most)} or {last}, and put a value that "
            "has a colon in double quotes."
        )
    elif not (plain or quoted):
        message = "A value is missing."
    else:
        return Term(name, plain or _ESCAPED.sub(r"\1", quoted), *match.span())
    return Problem(message, *match.span())


def _read(term: Term, request: ListDeliveriesRequest, now: datetime) -> str:
    """Add a term to the request. Returns why that is impossible, else an empty text."""
    value = term.value
    match term.qualifier:
        case "status":
            word = value.lower().replace("-", "_").replace(" ", "_")
            number = numbers_of(DeliveryStatus.DESCRIPTOR).get(word)
            if number is None:
                return f"There is no status {value}. Use one of {QUALIFIERS['status']}."
            request.status = DeliveryStatus.ValueType(number)
        case "since" | "until":
            return _read_time(term, request, now)
        case "org" | "run":
            if not _is_uuid(value):
                of = "an organisation" if term.qualifier == "org" else "a retry run"
                return f"{value} is not the id of {of}: it is a UUID."
            setattr(request, f"{term.qualifier}_id", value)
        case "job":
            if ids_beginning_with(value) is None:
                return f"{value} is not the beginning of a job id: at least 4 hexadecimal digits."
            request.job_id_prefix = value
        case qualifier:
            setattr(request, _TEXT_FIELDS[qualifier], value)
    return ""


def _read_time(term: Term, request: ListDeliveriesRequest, now: datetime) -> str:
    moment = read_point_in_time(term.value, now)
    if moment is None:
        return f"{term.value} is not a time. Use 2026-01-27T06:30 (UTC), or 2h for two hours ago."
    (request.start_time if term.name == "since" else request.end_time).FromDatetime(moment)
    has_both = request.HasField("start_time") and request.HasField("end_time")
    if has_both and request.end_time.ToNanoseconds() <= request.start_time.ToNanoseconds():
        return "The time of until must be after that of since."
    return ""


def _again(term: Term) -> str:
    meaning = "" if term.name else f" (a value alone is {term.qualifier}:)"
    return f"{term.qualifier} is there twice{meaning}. Use it once."


def fixed_time(text: str, now: datetime) -> str:
    """The absolute time of a text such as `2h`; any other text as it is."""
    moment = read_point_in_time(text, now)
    if moment is None:
        return text
    return utc_text(moment)


def _fixed(term: Term, now: datetime) -> Term:
    if term.name not in {"since", "until"}:
        return term
    return replace(term, value=fixed_time(term.value, now))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return len(text) == _UUID_CHARACTERS


def _is_job(word: str) -> bool:
    """Whether a word looks like a job id or its beginning. Vapi's call ids are other UUIDs."""
    digits = word.replace("-", "")
    is_beginning = ids_beginning_with(word) is not None
    return is_beginning and (len(digits) <= _VERSION_DIGIT or digits[_VERSION_DIGIT] == "7")
