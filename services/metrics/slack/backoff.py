"""How long to pause after a failed send to Slack. Pure."""

import math

_FIRST_S = 1.0
_LONGEST_S = 60.0
_LONGEST_RETRY_AFTER_S = 3600.0
_MOST_DOUBLINGS = 10
_MOST_DIGITS = 9


def wait_s(failures: int, *, retry_after_s: float | None, jitter: float) -> float:
    """Seconds to wait after so many failures in a row; `jitter` is from 0 to 1.

    What Slack asks for is kept to, up to an hour. Without word of it:

        failures  1  2  3  4   5   6   7 and more
        seconds   1  2  4  8  16  32  60, and up to a fifth longer
    """
    if retry_after_s is not None:
        return min(max(retry_after_s, _FIRST_S), _LONGEST_RETRY_AFTER_S) + jitter
    doubled = math.ldexp(_FIRST_S, min(max(failures, 1) - 1, _MOST_DOUBLINGS))
    return min(doubled, _LONGEST_S) * (1 + jitter / 5)


def retry_after_s(header: str | None) -> float | None:
    """Seconds that the header asks for; None when it is absent or not a number."""
    # A long row of digits is not a delay either, and overflows.
    if header is None or not header.strip().isdecimal() or len(header.strip()) > _MOST_DIGITS:
        return None
    return float(header)
