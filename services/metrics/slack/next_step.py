"""Decides what to announce next. Pure: groups and time are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.metrics.slack.alert_log import AlertGroup

MAX_APART = 20
"""When more groups than this are due at once, one message covers all of them."""

MAX_MESSAGES = 20
"""Messages in one interval, for any number of groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyTimes:
    """The waits between announcements.

    `batch_window`: how long the first dead letters of a group wait for others, and a quiet group
    for other quiet groups. `interval`: between two messages about a group. `quiet`: a group without
    a new dead letter for this long is over. `expiry`: what could not be announced for this long is
    dropped.
    """

    batch_window: timedelta
    interval: timedelta
    quiet: timedelta
    expiry: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Notify:
    """Announce the dead letters of these groups, in one message."""

    groups: tuple[AlertGroup, ...]


@dataclass(frozen=True, slots=True)
class NotifyQuiet:
    """Announce that these groups are quiet, in one message."""

    groups: tuple[AlertGroup, ...]


@dataclass(frozen=True, slots=True)
class Expire:
    """These groups are too old to announce."""

    groups: tuple[AlertGroup, ...]


Step = Notify | NotifyQuiet | Expire


def next_step(groups: Sequence[AlertGroup], now: datetime, times: NotifyTimes) -> Step | None:
    """The one thing to do now, if there is one. The longest wait comes first."""
    too_old = tuple(group for group in groups if _is_too_old(group, now, times))
    if too_old:
        return Expire(too_old)
    due = [group for group in groups if _is_due(group, now, times)]
    if due and _messages(groups, now, times) < MAX_MESSAGES:
        due.sort(key=lambda group: group.unsent_since or now)
        return Notify(tuple(due if len(due) > MAX_APART else due[:1]))
    if any(_is_quiet(group, now, times.quiet + times.batch_window) for group in groups):
        return NotifyQuiet(tuple(group for group in groups if _is_quiet(group, now, times.quiet)))
    return None


def _is_due(group: AlertGroup, now: datetime, times: NotifyTimes) -> bool:
    if not group.unsent or group.unsent_since is None:
        return False
    if group.sent_at is None:
        return now - group.unsent_since >= times.batch_window
    return now - group.sent_at >= times.interval


def _messages(groups: Sequence[AlertGroup], now: datetime, times: NotifyTimes) -> int:
    """How many messages covered these groups in the last interval. One message has one time."""
    sent = {group.sent_at for group in groups if group.sent_at is not None}
    return sum(now - sent_at < times.interval for sent_at in sent)


def _is_quiet(group: AlertGroup, now: datetime, quiet: timedelta) -> bool:
    return not group.unsent and now - group.last_at >= quiet


def _is_too_old(group: AlertGroup, now: datetime, times: NotifyTimes) -> bool:
    waits_since = group.unsent_since or group.last_at + times.quiet
    return now - waits_since >= times.expiry
