"""Decides what people are told next. Pure: the groups and the time are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.metrics.slack.alert_group import AlertGroup

MOST_APART = 20
"""When more groups than this are due at once, one message tells of them all."""

MOST_MESSAGES = 20
"""In one interval, however many groups there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long what waits.

    `gather`: the first dead letters of a group for others, and the end of a group for other ends.
    `interval`: between two messages about a group. `quiet`: without another one for so long, it is
    over. `give_up`: what could not be told for so long is not told any more.
    """

    gather: timedelta
    interval: timedelta
    quiet: timedelta
    give_up: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell of the dead letters of these groups, in one message."""

    groups: tuple[AlertGroup, ...]


@dataclass(frozen=True, slots=True)
class TellQuiet:
    """Tell that these groups are quiet, in one message."""

    groups: tuple[AlertGroup, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """These groups are too old to be told of."""

    groups: tuple[AlertGroup, ...]


Step = Tell | TellQuiet | GiveUp


def next_step(groups: Sequence[AlertGroup], now: datetime, pace: Pace) -> Step | None:
    """The one thing to do now, if there is one. What has waited longest comes first."""
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
    """How many told of these groups in the last interval; of what one told, the times are one."""
    times = {group.told_at for group in groups if group.told_at is not None}
    return sum(now - told_at < pace.interval for told_at in times)


def _is_quiet(group: AlertGroup, now: datetime, quiet: timedelta) -> bool:
    return not group.untold and now - group.last_at >= quiet


def _is_too_old(group: AlertGroup, now: datetime, pace: Pace) -> bool:
    waits_since = group.untold_since or group.last_at + pace.quiet
    return now - waits_since >= pace.give_up
