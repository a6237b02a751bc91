"""Builds Slack messages. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ringback.services.metrics.slack.alert_log import (
    AlertGroup,
    Example,
    GroupKey,
    StoppedForward,
)
from ringback.services.metrics.slack.mrkdwn import code, code_block, link, local_time, shown
from ringback.services.metrics.slack.redaction import without_secrets
from ringback.services.metrics.slack.settings import TRACE_ID_PLACEHOLDER

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
        return self.trace_url_template.replace(TRACE_ID_PLACEHOLDER, trace_id)


_MAX_NAME = 80
_MAX_ERROR = 300
_MAX_LINES = 10
# Slack accepts 3,000 characters in one text.
_MAX_LIST = 2_500
# Characters that need no quoting in a shell: people copy the command.
_PLAIN = re.compile(r"[\w.:-]+", re.ASCII)

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """`text` appears in notifications; `blocks` appear in the channel."""

    text: str
    blocks: list[Block]


def about_one(group: AlertGroup, example: Example | None, links: Links) -> Message:
    """Announce the dead letters of a group; without an example if the log no longer has it."""
    headline = f"{_dead_letters(group.unsent)}: {_name(group)}"
    blocks = [
        _section(f":rotating_light: *{_dead_letters(group.unsent)}*"),
        {"type": "section", "fields": [_text(field) for field in _fields(group, example)]},
    ]
    if example is not None and example.error_message:
        blocks.append(_section(code_block(example.error_message, maximum=_MAX_ERROR)))
    blocks.append(_section("\n".join(_how_to_retry(group))))
    trace = links.trace_of(example.trace_id) if example is not None else None
    return Message(headline, [*blocks, *_more(trace, links.dashboard_url)])


def about_many(groups: Sequence[AlertGroup], links: Links) -> Message:
    """Announce many groups at once, the largest ones by name."""
    total = sum(group.unsent for group in groups)
    headline = f"{_dead_letters(total)}, in {len(groups):,} groups"
    by_size = sorted(groups, key=lambda group: -group.unsent)
    lines = [f"• {group.unsent:,} {_coded(group)}" for group in by_size]
    blocks = [
        _section(f":rotating_light: *{headline}*"),
        _section("\n".join(_first(lines))),
        _section("See them all: `ringback dead groups`"),
    ]
    return Message(headline, [*blocks, *_more(None, links.dashboard_url)])


def about_quiet(
    groups: Sequence[AlertGroup], waiting: Mapping[GroupKey, int] | None, links: Links
) -> Message:
    """Announce that these groups are quiet.

    `waiting` counts the unresolved dead letters by group; None if that is unknown.
    """
    headline = "No more dead letters"
    if len(groups) == 1:
        headline += f": {_name(groups[0])}"
    lines = [
        f"• {_coded(group)}: {group.sent:,} since {local_time(group.opened_at)}"
        + ("" if waiting is None else f", {_waiting(waiting.get(group.key, 0))}")
        for group in groups
    ]
    blocks = [
        _section(":white_check_mark: *No more dead letters*"),
        _section("\n".join(_first(lines))),
    ]
    return Message(headline, [*blocks, *_more(None, links.dashboard_url)])


def about_stopped(forwards: Sequence[StoppedForward], links: Links) -> Message:
    """Announce that these forwards are stopped; of many, the first ones by name."""
    headline = (
        f"The forward {forwards[0].destination} was stopped"
        if len(forwards) == 1
        else f"{len(forwards):,} forwards were stopped"
    )
    blocks = [
        _section(f":octagonal_sign: *{headline}*: every request to the URL failed"),
        *(_section("\n".join(_about_forward(one))) for one in forwards[:_MAX_LINES]),
        _section(
            "Webhooks for it wait until then."
            if len(forwards) == 1
            else "Webhooks wait until then."
        ),
    ]
    if len(forwards) > _MAX_LINES:
        left = f"• and {len(forwards) - _MAX_LINES:,} more: `ringback destinations list`"
        blocks.insert(-1, _section(left))
    return Message(headline, [*blocks, *_more(None, links.dashboard_url)])


def _about_forward(one: StoppedForward) -> Iterator[str]:
    name, endpoint = code(one.forward, maximum=_MAX_NAME), code(one.endpoint_id, maximum=_MAX_NAME)
    yield f"Forward {name} of the endpoint {endpoint}, organisation `{one.org_id}`"
    yield f"Failing since {local_time(one.failing_since)}, stopped {local_time(one.stopped_at)}"
    yield code_block(one.last_error, maximum=_MAX_ERROR)
    yield "Repair the backend, then start the forward again:"
    yield f'`ringback destinations auto {one.destination} --reason "..."`'


def _fields(group: AlertGroup, example: Example | None) -> Iterator[str]:
    yield f"*Event type*\n{code(group.event_type, maximum=_MAX_NAME)}"
    yield f"*Error*\n{code(group.error_class, maximum=_MAX_NAME)}"
    yield f"*Organisation*\n`{group.org_id}`"
    yield f"*{'Job' if group.unsent <= 1 else 'Newest job'}*\n`{group.example}`"
    if example is not None:
        yield f"*Attempts*\n{example.attempts} of {example.max_attempts}"
    if group.unsent_since is not None:
        yield f"*Since*\n{local_time(group.unsent_since)}"
    if group.sent:
        yield f"*Reported before*\n{group.sent:,} since {local_time(group.opened_at)}"


def _how_to_retry(group: AlertGroup) -> Iterator[str]:
    yield "Find the cause and fix it, then retry:"
    yield f"`ringback dead show {group.example}`"
    yield f'`ringback dead retry {group.example} --reason "..."`'
    yield f"`POST /api/webhook-metrics/retry-failed/{group.example}`"
    if group.unsent > 1 and _is_plain(group):
        yield "To retry all of this kind, of all organisations that you may see, count them first:"
        yield (
            f"`ringback dead retry --event-type {group.event_type} "
            f"--error-class {group.error_class} --dry-run`"
        )


def _is_plain(group: AlertGroup) -> bool:
    names = (group.event_type, group.error_class)
    return all(
        _PLAIN.fullmatch(name)
        and len(name) <= _MAX_NAME
        and not name.startswith("-")
        and name == without_secrets(name)
        for name in names
    )


def _more(trace: str | None, dashboard: str | None) -> Iterator[Block]:
    places = [(trace, "Trace"), (dashboard, "Dashboard")]
    links = [_text(link(url, label)) for url, label in places if url is not None]
    if links:
        yield {"type": "context", "elements": links}


def _first(lines: Sequence[str]) -> list[str]:
    """The first lines, as many as fit into a message."""
    fitting: list[str] = []
    for line in lines[:_MAX_LINES]:
        if sum(map(len, fitting)) + len(line) > _MAX_LIST:
            break
        fitting.append(line)
    left = len(lines) - len(fitting)
    return [*fitting, f"• and {left:,} more groups"] if left else fitting


def _dead_letters(count: int) -> str:
    return (
        "A webhook became a dead letter"
        if count == 1
        else f"{count:,} webhooks became dead letters"
    )


def _waiting(count: int) -> str:
    return f"{count:,} still unresolved" if count else "all resolved"


def _name(group: AlertGroup) -> str:
    kind = shown(group.event_type, maximum=_MAX_NAME)
    return f"{kind}, {shown(group.error_class, maximum=_MAX_NAME)}"


def _coded(group: AlertGroup) -> str:
    kind = code(group.event_type, maximum=_MAX_NAME)
    return f"{kind} {code(group.error_class, maximum=_MAX_NAME)} of `{group.org_id}`"


def _section(text: str) -> Block:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> Block:
    # Verbatim: addresses and names in the text do not become links.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
