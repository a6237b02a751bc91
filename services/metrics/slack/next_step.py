"""Decides what to announce next. Pure: groups and time are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.metrics.slack.alert_group import AlertGroup

MOST_APART = 20
"""When more groups than this are due at once, one message covers all of them."""

MOST_MESSAGES = 20
"""Messages in one interval, for any number of groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The waits between announcements.

    `gather`: how long the first dead letters of a group wait for others, and a quiet group for
    other quiet groups. `interval`: between two messages about a group. `quiet`: without a new one
    for this long, a group is over. `give_up`: what could not be announced for this long is dropped.
    """

    gather: timedelta
    interval: timedelta
    quiet: timedelta
    give_up: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tell:
    """Announce the dead letters of these groups, in one message."""

    groups: tuple[AlertGroup, ...]


@dataclass(frozen=True, slots=True)
class TellQuiet:
    """Announce that these groups are quiet, in one message."""

    groups: tuple[AlertGroup, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """These groups are too old to announce."""

    groups: tuple[AlertGroup, ...]


Step = Tell | TellQuiet | GiveUp


def next_step(groups: Sequence[AlertGroup], now: datetime, pace: Pace) -> Step | None:
    """The one thing to do now, if there is one. The longest wait comes first."""
    too_old = tuple(group for group in groups if _is_too_old(group, now, pace))
    if too_old:
        return GiveUp(too_old)
    due = [group for group in groups if _is_due(group, now, pace)]
    if due and _messages(groups, now, pace) < MOST_MESSAGES:
        due.sort(key=lambda group: group.untold_since or now)
        return Tell(tuple(due if len(due) > MOST_APART else due[:1]))
    if any(_is_quiet(group, now, pace.quiet + pace.gather) for group in groups):
        return TellQuiet(tuple(group for group in groups if _is_quiet(group, now, pace.quiet)))
    return None


def _is_due(group: AlertGroup, now: datetime, pace: Pace) -> bool:
    if not group.untold or group.untold_since is None:
        return False
    if group.told_at is None:
        return now - group.untold_since >= pace.gather
    return now - group.told_at >= pace.interval


def _messages(groups: Sequence[AlertGroup], now: datetime, pace: Pace) -> int:
    """How many messages covered these groups in the last interval. One message has one time."""
    times = {group.told_at for group in groups if group.told_at is not None}
    return sum(now - told_at < pace.interval for told_at in times)


def _is_quiet(group: AlertGroup, now: datetime, quiet: timedelta) -> bool:
    return not group.untold and now - group.last_at >= quiet


def _is_too_old(group: AlertGroup, now: datetime, pace: Pace) -> bool:
    waits_since = group.untold_since or group.last_at + pace.quiet
    return now - waits_since >= pace.give_up
