"""Ask whether a pinned dependency has a known weakness, and warn of images that get no fixes.

Status 1 when one has, and 3 when nobody could be asked; with --unless-away 0 instead of 3, and it
is said all the same. What is said of images does not change the status.
"""

# ruff: file-ignore[suspicious-subprocess-import] - pip-audit is a program.
import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from audit.images import pinned_images, warnings
from audit.verdict import Verdict, verdict_of

_ROOT = Path(__file__).parents[1]
_PINNED = _ROOT / "requirements" / "run.txt"
_MOST_S = 180.0
_FOUND, _NOT_AUDITED = 1, 3


def asked(requirements: Path) -> Verdict | None:
    """PyPI's report on all pinned packages; None when it does not answer."""
    program = str(Path(sys.executable).with_name("pip-audit"))
    command = [program, "--require-hashes", "--disable-pip"]
    options = ["--requirement", str(requirements), "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, *options], check=False, capture_output=True, timeout=_MOST_S
        )
        return verdict_of(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def told(verdict: Verdict | None) -> tuple[int, str]:
    """The exit status and the text for a person."""
    if verdict is None or not verdict.audited:
        return _NOT_AUDITED, "NOT AUDITED: the vulnerability service of PyPI cannot be reached."
    if verdict.found:
        return _FOUND, "Known weaknesses:\n" + "\n".join(verdict.found)
    if verdict.not_audited:
        names = ", ".join(verdict.not_audited)
        return _NOT_AUDITED, f"NOT AUDITED: the service knows nothing of {names}."
    return 0, f"{verdict.audited} packages have no known weakness."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m audit", description=__doc__)
    parser.add_argument("--unless-away", action="store_true")
    parser.add_argument("--requirements", type=Path, default=_PINNED)
    options = parser.parse_args()
    status, words = told(asked(options.requirements))
    print(words)
    for line in warnings(pinned_images(_ROOT / "deploy"), datetime.now(UTC).date()):
        print(line)
    return 0 if status == _NOT_AUDITED and options.unless_away else status


if __name__ == "__main__":
    sys.exit(main())
