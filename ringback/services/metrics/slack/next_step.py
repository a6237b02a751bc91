"""Decides what to announce next. Pure: groups and time are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ringback.services.metrics.slack.alert_log import AlertGroup, StoppedForward

MAX_SEPARATE = 20
"""When more groups than this are due at once, one message covers all of them."""

MAX_MESSAGES = 20
"""Messages in one interval, for any number of groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyTimes:
    """How long to wait before an announcement.

    `batch_window`: to collect the first dead letters of a group, and to collect quiet groups.
    `interval`: between two messages about a group. `quiet`: a group without a new dead letter for
    this long is quiet. `expiry`: what could not be announced for this long is dropped.
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


@dataclass(frozen=True, slots=True)
class NotifyStopped:
    """Announce that these forwards are stopped, in one message."""

    forwards: tuple[StoppedForward, ...]


Step = Notify | NotifyQuiet | NotifyStopped | Expire


def next_step(
    groups: Sequence[AlertGroup], now: datetime, times: NotifyTimes
) -> Notify | NotifyQuiet | Expire | None:
    """What to do now about groups, if anything. The one that has waited longest comes first."""
    too_old = tuple(group for group in groups if _is_too_old(group, now, times))
    if too_old:
        return Expire(too_old)
    due = [group for group in groups if _is_due(group, now, times)]
    if due and _messages(groups, now, times) < MAX_MESSAGES:
        due.sort(key=lambda group: group.unsent_since or now)
        return Notify(tuple(due if len(due) > MAX_SEPARATE else due[:1]))
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
    """How many messages were sent in the last interval. Groups of one message share `sent_at`."""
    sent = {group.sent_at for group in groups if group.sent_at is not None}
    return sum(now - sent_at < times.interval for sent_at in sent)


def _is_quiet(group: AlertGroup, now: datetime, quiet: timedelta) -> bool:
    return not group.unsent and now - group.last_at >= quiet


def _is_too_old(group: AlertGroup, now: datetime, times: NotifyTimes) -> bool:
    waits_since = group.unsent_since or group.last_at + times.quiet
    return now - waits_since >= times.expiry
