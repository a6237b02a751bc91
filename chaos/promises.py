"""What must be true of a fault's verdict. Pure."""

from collections.abc import Sequence

from chaos.fault import Fault
from chaos.verdict import Verdict

_NAMED = 5


def broken_promises(fault: Fault, verdict: Verdict) -> list[str]:
    """Give a sentence for each wrong count; empty if all are right."""
    broken = []
    if not verdict.accepted:
        broken.append("Nothing was accepted, so nothing was shown.")
    if verdict.lost:
        broken.append(f"Lost: {_some(verdict.lost)}.")
    if verdict.twice:
        broken.append(f"Finished twice: {_some(verdict.twice)}.")
    if verdict.refused and not fault.may_refuse:
        broken.append(f"{verdict.refused} refused, although the spool works.")
    if verdict.unanswered and not fault.may_not_answer:
        broken.append(f"{verdict.unanswered} requests got no answer.")
    if verdict.dead_letters and not fault.may_bury:
        broken.append(f"{verdict.dead_letters} ended as dead letters for our own outage.")
    if verdict.burned and not fault.may_burn:
        broken.append(f"{verdict.burned} attempts were burned by our own outage.")
    return broken + _too_late(fault.resumes_within_s, verdict.resumed_s)


def _too_late(wanted_s: float | None, resumed_s: float | None) -> list[str]:
    if wanted_s is None or (resumed_s is not None and resumed_s <= wanted_s):
        return []
    after = "never" if resumed_s is None else f"after {resumed_s:.1f} s"
    return [f"It went on {after}, not within {wanted_s:g} s."]


def _some(events: Sequence[str]) -> str:
    rest = len(events) - _NAMED
    return ", ".join(events[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
